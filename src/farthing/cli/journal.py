"""The journal of the library: `journal list`, `retry` and `drop`, for charges that a program could not deliver."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .cards import Reason, read_reason
from .care import PANEL
from .exits import Exit, Trouble, usage
from .opening import actor
from .options import Json, Yes, enter
from .output import Answer, columns, confirm

if TYPE_CHECKING:
    from farthing.client import Client
    from farthing.client.journal.lines import Kept
    from farthing.client.journal.shelf import Contents

FOLDER_VARIABLE = "FARTHING_JOURNAL"
URL_VARIABLE = "FARTHING_URL"

Folder = Annotated[
    Path | None,
    typer.Option(
        "--journal", metavar="FOLDER", help=f"As the program gave it to `connect`. Default: {FOLDER_VARIABLE}."
    ),
]
Keys = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY]...", help="The parked ones to send, by key or id. Default: all of this ledger."),
]


def register(app: typer.Typer) -> None:
    """Enter the commands."""
    group = typer.Typer(
        help="Charges that a program could not deliver, kept by the library in a folder of its machine."
    )
    enter(group, "list", "$ farthing journal list --journal /var/lib/shop/journal")(list_all)
    enter(
        group,
        "retry",
        "$ farthing journal retry --journal /var/lib/shop/journal --url https://credits.example.com",
        "$ farthing journal retry key_01a1fdc8 --journal journal --url sqlite:///credits.db",
    )(retry)
    enter(
        group, "drop", "$ farthing journal drop key_01a1fdc8 --journal journal --reason 'a test account' --yes"
    )(drop)  # fmt: skip
    app.add_typer(group, name="journal", rich_help_panel=PANEL)


# Looking


def list_all(journal: Folder = None, as_json: Json = False) -> Answer:
    """What is parked, with the reason for which it was refused, and what still waits for its ledger."""
    found = _contents(_folder(journal))
    data = {
        "parked": [_facts(each) for each in found.parked],
        "waiting": [_facts(each) | {"process_lives": alive} for each, alive in found.waiting],
        "damaged": [str(path) for path in found.damaged],
    }
    return Answer(data, _text(found) or "the journal is empty", notes=_notes(found))


def _text(found: "Contents") -> str:
    parts = []
    if found.parked:
        parts.append(_table("PARKED", found.parked, [each.reason for each in found.parked]))
    if found.waiting:
        parts.append(_table("WAITING", [each for each, _ in found.waiting], [each.why for each, _ in found.waiting]))
    return "\n\n".join(parts)


def _table(title: str, kept: "list[Kept]", why: list[str]) -> str:
    rows = [(title, "WHAT", "FOR", "AMOUNT", "SINCE", "WHY")]
    for each, reason in zip(kept, why, strict=True):
        facts = _facts(each)
        rows.append((each.key, facts["what"], facts["for"], facts["amount"] or "-", each.queued_at[:19], reason))
    return columns(rows, right=(3,))


def _notes(found: "Contents") -> list[str]:
    return [f"{path} has something that can't be read; it was set aside" for path in found.damaged]


def _facts(kept: "Kept") -> dict[str, Any]:
    said = kept.facts
    return {
        "id": kept.id, "key": kept.key, "what": "settle" if kept.names else "charge", "for": kept.stream,
        "amount": said.get("amount"), "request": said, "ledger": kept.target.ledger,
        "workspace": kept.target.workspace or None, "queued_at": kept.queued_at, "why": kept.why,
        "parked_at": kept.parked_at or None, "code": kept.code or None, "reason": kept.reason or None,
    }  # fmt: skip


def _folder(given: Path | None) -> Path:
    folder = given or Path(os.environ.get(FOLDER_VARIABLE, ""))
    if folder == Path():
        raise usage(f"say which journal: --journal FOLDER, or the variable {FOLDER_VARIABLE}")
    if not folder.is_dir():
        raise Trouble("journal_missing", f"there is no folder {folder}", Exit.NO, path=str(folder))
    return folder


def _contents(folder: Path) -> "Contents":
    from farthing.client.journal.shelf import contents

    return contents(folder)


# Sending again


def retry(
    keys: Keys = None,
    url: Annotated[
        str | None,
        typer.Option(
            "--url",
            metavar="URL",
            help=f"The ledger: a server (with FARTHING_API_KEY) or a database. Default: {URL_VARIABLE}.",
        ),
    ] = None,
    any_key: Annotated[
        bool,
        typer.Option("--any-key", help="Also what was queued under another API key of the workspace, since rotated."),
    ] = False,
    workspace: Annotated[
        str | None, typer.Option("--workspace", "-w", metavar="ID", help="The workspace. Default: the only one.")
    ] = None,
    journal: Folder = None,
    as_json: Json = False,
) -> Answer:
    """Send what is parked again, and what processes have left that are gone; each under its key, so that nothing is
    charged twice. What is refused once more stays parked; a program that lives sends its own."""
    folder = _folder(journal)
    address = url or os.environ.get(URL_VARIABLE)
    if not address:
        raise usage(f"say which ledger: --url URL, or the variable {URL_VARIABLE}{_known(_contents(folder))}")
    with _client(address, workspace, folder) as client:
        if any_key:
            client.journal.accept_any_key()
        chosen = _chosen(client.journal.parked(), keys)
        stats = client.journal.replay()
        again = [(each, client.journal.retry(each)) for each in chosen]
        refused = stats.refused + sum(refusal is not None for _, refusal in again)
        delivered = stats.replayed + sum(refusal is None for _, refusal in again)
    left = _contents(folder)
    data = {"delivered": delivered, "refused": refused, "waiting": len(left.waiting), "parked": len(left.parked)}
    text = f"{delivered} delivered, {refused} refused; {len(left.waiting)} wait and {len(left.parked)} are parked"
    notes = [f"{each.key}: {refusal}" for each, refusal in again if refusal is not None]
    return Answer(data, text, Exit.NO if refused or stats.waiting else Exit.OK, [*notes, *_notes(left)])


@contextmanager
def _client(url: str, workspace: str | None, folder: Path) -> "Iterator[Client]":
    from farthing.client import connect
    from farthing.client.errors import ApiError, ConnectError, FarthingError

    try:
        with connect(
            url, workspace=workspace, create=False, actor=actor(), on_unavailable="queue", journal=folder
        ) as client:  # fmt: skip
            yield client
    except ConnectError as error:
        raise Trouble("connect", str(error), Exit.DATABASE) from error
    except ApiError as error:
        exit = Exit.UNAVAILABLE if error.retries else Exit.NO
        raise Trouble(error.code, f"{error} What is left stays in the journal.", exit) from error
    except FarthingError as error:
        raise Trouble("unusable", str(error), Exit.UNAVAILABLE) from error


def _chosen(parked: "list[Kept]", keys: list[str] | None) -> "list[Kept]":
    """The parked ones that are meant."""
    if not keys:
        return parked
    found = [each for each in parked if each.key in keys or each.id in keys]
    known = {name for each in found for name in (each.key, each.id)}
    if missing := [key for key in keys if key not in known]:
        message = f"nothing is parked for this ledger under {', '.join(missing)}; `farthing journal list` shows it"
        raise Trouble("not_parked", message, Exit.NO, keys=missing)
    return found


def _known(found: "Contents") -> str:
    kept = [*found.parked, *(each for each, _ in found.waiting)]
    ledgers = sorted({each.target.ledger for each in kept})
    return f". What is in the journal is for {', '.join(ledgers)}" if ledgers else ""


# Giving up


def drop(
    key: Annotated[str, typer.Argument(metavar="KEY", help="By key, or by id where several have the same key.")],
    reason: Reason,
    yes: Yes = False,
    journal: Folder = None,
    as_json: Json = False,
) -> Answer:
    """Give up what is parked, or was left by a process that is gone: it is never charged. It is kept in the folder
    `dropped`, with who did it and why."""
    from farthing.client.journal.shelf import give_up, give_up_left

    folder, why = _folder(journal), read_reason(reason)
    found = _contents(folder)
    kept, is_parked = _one(found, key)
    facts = _facts(kept)
    amount = f" of {facts['amount']}" if facts["amount"] else ""
    confirm(f"Give up the {facts['what']}{amount} for {facts['for']} under the key {kept.key}?", yes)
    act = give_up if is_parked else give_up_left
    dropped = act(folder, kept, actor(), why)
    if dropped is None:
        raise Trouble("not_found", f"{key} is not in the journal any more; nothing was dropped", Exit.NO)
    data = _facts(dropped) | {
        "dropped_at": dropped.dropped_at, "dropped_by": dropped.dropped_by, "dropped_reason": dropped.dropped_reason
    }  # fmt: skip
    return Answer(data, f"dropped: {kept.key}")


def _one(found: "Contents", key: str) -> "tuple[Kept, bool]":
    """What is meant, and whether it is parked."""
    meant = [(each, True) for each in found.parked if key in (each.key, each.id)]
    meant += [(each, False) for each, alive in found.waiting if key in (each.key, each.id) and not alive]
    if len({each.id for each, _ in meant}) > 1:
        listed = ", ".join(f"{each.id} ({each.stream})" for each, _ in meant)
        raise Trouble("several", f"several have the key {key}; say which by id: {listed}", Exit.USAGE)
    if meant:
        return meant[0]
    if any(key in (each.key, each.id) for each, _ in found.waiting):
        message = f"{key} waits in a program that runs, which may be sending it: stop the program first"
        raise Trouble("in_use", message, Exit.NO)
    raise Trouble("not_found", f"nothing in the journal has the key {key}", Exit.NO)
