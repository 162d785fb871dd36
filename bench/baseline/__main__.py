"""Starts one process of the baseline: python -m bench.baseline --dsn DSN --port PORT."""

from __future__ import annotations

import argparse
import os

import uvicorn


def main() -> None:
    """Serve on loopback with uvloop and httptools, without an access log."""
    parser = argparse.ArgumentParser(prog="python -m bench.baseline", description=__doc__)
    parser.add_argument("--dsn", required=True, help="address of the PostgreSQL database")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--pool", type=int, default=16, help="database connections of this process")
    options = parser.parse_args()
    os.environ["BASELINE_DSN"] = options.dsn
    os.environ["BASELINE_POOL"] = str(options.pool)
    uvicorn.run(
        "bench.baseline.app:app", host="127.0.0.1", port=options.port, loop="uvloop", http="httptools",
        ws="none", access_log=False, log_level="warning", timeout_graceful_shutdown=5,
    )  # fmt: skip


if __name__ == "__main__":
    main()
