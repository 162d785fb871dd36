"""Grants to many accounts: `grant-many`, from a file of accounts, under a batch that can be run again."""

import csv
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from .exits import Exit, Trouble, invalid, usage
from .opening import Desk, at_desk
from .options import Db, Description, In, Json, Metadata, enter
from .output import progress, say, write_json
from .reading import read_credits, read_key, read_metadata, read_moment

PANEL = "Credits"
STDIN = "-"
_REFUSED = (Exit.NO, Exit.USAGE)
"""What concerns one account alone; with all else the rest would fail as well."""


def register(app: typer.Typer) -> None:
    """Enter the command."""
    enter(
        app,
        "grant-many",
        "$ farthing grant-many winners.csv --batch contest-7",
        "$ farthing grant-many - --amount 5 --batch spring-2027 --category promotional < accounts.txt",
        panel=PANEL,
    )(grant_many)


@dataclass(frozen=True)
class _Given:
    """A line of the file."""

    account: str
    amount: int
    key: str | None


def grant_many(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="CSV: ACCOUNT, or ACCOUNT,AMOUNT on each line; - is input.")
    ],
    batch: Annotated[
        str, typer.Option("--batch", metavar="NAME", help="Run again with the same one, it gives nobody twice.")
    ],
    amount: Annotated[
        str | None, typer.Option("--amount", metavar="AMOUNT", help="For lines that have none of their own.")
    ] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="DATE", help="When the grants end. Default: never.")
    ] = None,
    category: Annotated[
        Literal["paid", "promotional"], typer.Option("--category", help="Promotional credits burn before paid ones.")
    ] = "paid",
    description: Description = None,
    metadata: Metadata = None,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> int:
    """Give credits to many accounts, with a result for each; it goes on after a refusal, and then ends with 1.

    All lines are read before the first grant. Interrupted, it may be run again as it was: whoever was given something
    is not given it twice. --expires takes a date, since 30 days from now would be something else by then.
    """
    rows, details = _read_rows(file), read_metadata(metadata)
    ends = None if expires is None else read_moment(expires, "expires")
    terms = {"category": category, "expires_at": ends, "description": description, "metadata": details}
    with at_desk(db, workspace) as desk:
        given = [_read_line(number, row, amount, batch, desk.workspace.scale) for number, row in rows]
        return _give_all(given, terms, desk, as_json)


def _give_all(given: list[_Given], terms: dict[str, Any], desk: Desk, as_json: bool) -> int:
    refused = 0
    with progress("grants") as told:
        for done, each in enumerate(given, 1):
            result = _give(each, terms, desk)
            refused += result["status"] == "refused"
            if as_json:
                write_json(result)
            elif result["status"] == "refused":
                say(f"{each.account}: {result['error']['message']}")
            told(done, len(given))
    if not as_json:
        print(f"{len(given) - refused:,} of {len(given):,} accounts have their grant; {refused:,} were refused")
    return Exit.NO if refused else Exit.OK


def _give(each: _Given, terms: dict[str, Any], desk: Desk) -> dict[str, Any]:
    from farthing.core.commands import GiveGrant

    command = GiveGrant(workspace=desk.workspace.id, account=each.account, amount=each.amount, key=each.key, **terms)
    result: dict[str, Any] = {"account": each.account, "amount": desk.write(each.amount)}
    try:
        done = desk.do(command)
    except Trouble as trouble:
        if trouble.exit not in _REFUSED:
            raise
        return result | {"status": "refused"} | trouble.as_json()
    return result | {"status": "granted", "replayed": done.replayed}


def _read_rows(file: str) -> list[tuple[int, list[str]]]:
    """The lines that say something, numbered."""
    if file == STDIN:
        return _parse(sys.stdin)
    try:
        with Path(file).open(encoding="utf-8-sig", newline="") as lines:
            return _parse(lines)
    except OSError as error:
        raise usage(f"FILE can't be read: {error.strerror}: {file}") from error


def _parse(lines: Iterable[str]) -> list[tuple[int, list[str]]]:
    reader = csv.reader(lines, strict=True)
    try:
        return [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(row)]
    except (csv.Error, UnicodeDecodeError) as error:
        raise usage(f"FILE is no CSV in UTF-8: line {reader.line_num + 1}: {error}") from error


def _read_line(number: int, row: list[str], amount: str | None, batch: str, scale: int) -> _Given:
    from farthing.client.bulk import batch_key

    field = f"line {number}"
    if len(row) > 2 or not row[0]:
        raise invalid(field, "must be an account, or an account and an amount")
    text = row[1] if len(row) == 2 and row[1] else amount
    if text is None:
        raise invalid(field, "has no amount, and there is no --amount")
    try:
        key = batch_key(batch, row[0])
    except ValueError as error:
        raise invalid("batch", "must be short and of printable ASCII characters") from error
    return _Given(row[0], read_credits(text, scale, f"{field}: amount"), read_key(key))
