"""Import files for tests: lines made of facts, with the totals that end them; and a ledger that is given them."""

import io
import json
import tempfile
from collections.abc import Iterable
from contextlib import redirect_stdout
from decimal import Decimal
from pathlib import Path
from typing import Any

from farthing.cli.root import run
from tests.api.serving import Server

Line = dict[str, Any]


def line(type: str, **facts: Any) -> Line:
    """One line."""
    return {"type": type, **facts}


def grant(id: str, account: str, remaining: str, **facts: Any) -> Line:
    """What is left of a grant."""
    return line("grant", id=id, account=account, remaining=remaining, **facts)


def charged(account: str, key: str, amount: str = "5", **facts: Any) -> Line:
    """A key that a charge has spent in the old system."""
    told = {"operation": "chat.message", "at": "2025-12-01T08:00:00Z", "balance": "95", "id": f"old-{key}", **facts}
    return line("key", account=account, key=key, kind="charge", amount=amount, **told)


def totals(lines: Iterable[Line], **facts: Any) -> Line:
    """What the lines come to."""
    signs = {"grant": ("remaining", 1), "debt": ("amount", -1)}
    known = [(each, *signs[each["type"]]) for each in lines if each["type"] in signs]
    credits = sum((Decimal(str(each[name])) * sign for each, name, sign in known), Decimal(0))
    return line("totals", credits=f"{credits:f}", **facts)


def written(lines: Iterable[Line], *, ended: bool = True) -> str:
    """The text of a file; its totals end it, unless they are not to."""
    lines = list(lines)
    return "".join(json.dumps(each) + "\n" for each in [*lines, *([totals(lines)] if ended else [])])


def bring_in(url: str, lines: Iterable[Line], *words: str) -> dict[str, Any]:
    """Import lines into a ledger through the command line; what it said."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "old.jsonl"
        file.write_text(written(lines))
        said = io.StringIO()
        with redirect_stdout(said):
            code = run(["import", str(file), "--apply", "--json", "--workspace", "main", "--db", url, *words])
    found: dict[str, Any] = json.loads(said.getvalue())
    assert code == 0, found
    return found


def bring_to(server: Server, lines: Iterable[Line]) -> None:
    """Import lines into the ledger of a server, and wait until it has seen them."""
    bring_in(server.ledger.url, lines)
    server.catch_up()
