"""A full disk, played on a small file system of its own: `python -m tests.disk_full FOLDER` (in a mount namespace).

Charges over HTTP until the disk is full, makes room, charges on without a restart, then holds what was acknowledged
against the ledger. Prints what it saw as JSON.
"""

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import apsw

from tests.hammer import Caller, Server, run_farthing


class Once(Caller):
    """A caller that takes the first answer, whatever it is."""

    def charge(self, number: int) -> tuple[int, dict[str, Any]]:
        import http.client

        body = {
            "account_id": "alice", "operation": "disk.full", "amount": 1, "usage_event_id": f"event-{number}",
            "metadata": {"ballast": "x" * 4_000},
        }  # fmt: skip
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        connection.request("POST", "/api/credits/deduct", json.dumps(body), self._headers)
        response = connection.getresponse()
        answer = json.loads(response.read())
        connection.close()
        return response.status, answer


def mount(folder: Path) -> str:
    """A file system of 12 MB: a loop device where that may be, else memory."""
    image = folder.with_suffix(".img")
    with image.open("wb") as file:
        file.truncate(12 * 1024 * 1024)
    # Administration's folders are not on everybody's path.
    maker = shutil.which("mkfs.ext4", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    made = maker is not None and subprocess.run([maker, "-q", str(image)], capture_output=True).returncode == 0
    if made and subprocess.run(["mount", "-o", "loop", str(image), str(folder)], capture_output=True).returncode == 0:
        return "ext4 on a loop device"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=10m", "none", str(folder)], check=True)
    return "tmpfs"


def play(folder: Path) -> dict[str, Any]:
    kind = mount(folder)
    url = f"sqlite:///{folder / 'small.db'}"
    api_key = run_farthing("init", "--db", url)["api_key"]
    run_farthing("grant", "alice", "100000", "--db", url)
    server = Server(url)
    caller = Once(server.port, api_key, random.Random(1))
    ballast = folder / "ballast"
    with ballast.open("wb") as file:
        file.write(b"x" * 4_000_000)
        os.fsync(file.fileno())
    acknowledged: dict[int, str] = {}
    refused: list[tuple[int, str, str]] = []
    number = 0
    while len(refused) < 20 and number < 5_000:
        number += 1
        status, answer = caller.charge(number)
        if status == 200:
            acknowledged[number] = answer["data"]["transactionId"]
        else:
            refused.append((status, answer["code"], answer["message"]))
    full_at = number
    ballast.unlink()
    after: dict[int, int] = {}
    for number in range(full_at + 1, full_at + 51):
        status, answer = caller.charge(number)
        after[status] = after.get(status, 0) + 1
        if status == 200:
            acknowledged[number] = answer["data"]["transactionId"]
    server.stop()
    db = apsw.Connection(str(folder / "small.db"), flags=apsw.SQLITE_OPEN_READONLY)
    found = dict(db.execute("select key, id from entry where key like 'cw.deduct:%'"))
    db.close()
    lost = [n for n, id in acknowledged.items() if found.get(f"cw.deduct:event-{n}") != id]
    nobody_told = len(found) - len(acknowledged)
    return {
        "file_system": kind, "acknowledged": len(acknowledged), "lost": lost, "not_told": nobody_told,
        "refused": refused, "after": after, "doctor": run_farthing("doctor", "--db", url),
    }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(play(Path(sys.argv[1]))))
