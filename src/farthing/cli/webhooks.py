"""Webhooks: `webhooks create`, `list`, `show`, `update`, `rotate`, `test`, `delete`; `deliveries` tells what became of
events, `redeliver` sends them again. A secret of one's own goes through standard input.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .exits import Exit, Trouble, invalid, usage
from .opening import Desk, at_desk
from .options import Db, In, Json, Yes, enter
from .output import Answer, columns, confirm, pairs, say
from .reading import read_instant, write_time
from .setup import PANEL

if TYPE_CHECKING:
    from farthing.core.endpoints import WebhookEndpoint
    from farthing.stores.endpoints import Endpoints, ShownEndpoint
    from farthing.stores.outbox import Outbox, Try

MOST = 200
SHOWN = 10
MOST_BYTES = 1_000
Id = Annotated[str, typer.Argument(metavar="WEBHOOK", help="Its id; `farthing webhooks list` shows them.")]
TypesOption = Annotated[
    list[str] | None,
    typer.Option("--type", "-t", metavar="TYPE", help="What is sent: a type, `noun.*` or `*`; repeatable."),
]
SecretInput = Annotated[
    bool, typer.Option("--secret-stdin", help="Read the secret (whsec_...) from standard input; else one is made.")
]
Private = Annotated[
    bool,
    typer.Option(
        "--allow-private",
        help="Take an address of a private network, and http://. A server needs FARTHING_WEBHOOK_PRIVATE=allow.",
    ),
]
Words = Annotated[str | None, typer.Option("--description", metavar="TEXT", help="Words for people.")]


def register(app: typer.Typer) -> None:
    """Enter the commands."""
    group = typer.Typer(help="Where a workspace has its events sent.")
    enter(
        group,
        "create",
        "$ farthing webhooks create https://app.example.com/farthing --type 'balance.*' --type grant.lapsed",
        "$ farthing webhooks create http://localhost:3000/hook --type '*' --allow-private",
    )(create)
    enter(group, "list", "$ farthing webhooks list --json")(list_all)
    enter(group, "show", "$ farthing webhooks show whe_0198c5f0a1b27c3d8e4f5a6b7c8d9000")(show)
    enter(
        group,
        "update",
        "$ farthing webhooks update whe_0198... --type 'charge.*' --ordered",
        "$ farthing webhooks update whe_0198... --enable",
    )(update)
    enter(group, "rotate", "$ farthing webhooks rotate whe_0198... --overlap-seconds 3600")(rotate)
    enter(group, "test", "$ farthing webhooks test whe_0198...")(send_test)
    enter(group, "deliveries", "$ farthing webhooks deliveries whe_0198... --outcome failed")(deliveries)
    enter(
        group,
        "redeliver",
        "$ farthing webhooks redeliver whe_0198... evt_0198...",
        "$ farthing webhooks redeliver whe_0198... --since 2026-11-01",
    )(redeliver)
    enter(group, "delete", "$ farthing webhooks delete whe_0198... --yes")(delete)
    app.add_typer(group, name="webhooks", rich_help_panel=PANEL)


# Making and changing


def create(
    url: Annotated[str, typer.Argument(metavar="URL", help="Where events are sent: https:// at a public address.")],
    types: TypesOption = None,
    description: Words = None,
    ordered: Annotated[bool, typer.Option("--ordered", help="Events of an account one after the other.")] = False,
    secret_stdin: SecretInput = False,
    allow_private: Private = False,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:  # fmt: skip
    """Have events sent to an address, signed as Standard Webhooks has it. The secret is shown this once."""
    from farthing.outbox.endpoints import new_endpoint, new_secret

    if not types:
        raise usage("say which events: --type 'balance.*', or --type '*' for all")
    given = _typed() if secret_stdin else None
    _check(url=url, types=types, secret=given, allow_private=allow_private)
    with _at(db, workspace) as desk:
        secret, act = given or new_secret(), desk.act()
        endpoint = new_endpoint(
            desk.workspace.id, url, types, secret, act.at, description=description or "", ordered=ordered
        )
        made = desk.ledger.wait(_endpoints(desk).create(endpoint, act))
    return _with_secret(made, secret, f"{made.id} is sent {', '.join(made.types)}")


def update(
    id: Id,
    url: Annotated[str | None, typer.Option("--url", metavar="URL", help="Another address.")] = None,
    types: TypesOption = None,
    description: Words = None,
    ordered: Annotated[
        bool | None, typer.Option("--ordered/--unordered", help="Events of an account one after the other, or not.")
    ] = None,
    enabled: Annotated[
        bool | None, typer.Option("--enable/--disable", help="Whether anything is sent there.")
    ] = None,
    allow_private: Private = False,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:  # fmt: skip
    """Change where events are sent, or which. What is left out stays; an empty description is none."""
    from farthing.outbox.endpoints import distinct

    _check(url=url, types=types, allow_private=allow_private)
    given = {
        "url": url, "types": None if types is None else distinct(types), "description": description,
        "ordered": ordered, "enabled": enabled,
    }  # fmt: skip
    changes = {name: value for name, value in given.items() if value is not None}
    if not changes:
        raise usage("say what to change: `farthing webhooks update --help` shows the options")
    with _at(db, workspace) as desk:
        made = desk.ledger.wait(_endpoints(desk).update(desk.workspace.id, id, changes, desk.act()))
    facts = webhook_facts(made)
    return Answer(facts, f"{id} is changed\n\n{_text(facts)}")


def rotate(
    id: Id,
    overlap_seconds: Annotated[
        int,
        typer.Option(
            "--overlap-seconds", metavar="N", min=0, max=30 * 86_400, help="How long the old one signs as well."
        ),
    ] = 86_400,
    secret_stdin: SecretInput = False,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:  # fmt: skip
    """Give a webhook a new secret, which is shown this once; the old one signs as well for a day."""
    from farthing.outbox.endpoints import new_secret

    given = _typed() if secret_stdin else None
    _check(secret=given)
    with _at(db, workspace) as desk:
        secret = given or new_secret()
        overlap_us = overlap_seconds * 1_000_000
        made = desk.ledger.wait(_endpoints(desk).rotate(desk.workspace.id, id, secret, overlap_us, desk.act()))
    return _with_secret(made, secret, f"{id} is signed with a new secret")


def delete(id: Id, yes: Yes = False, workspace: In = None, db: Db = None, as_json: Json = False) -> Answer:
    """Send nothing there any more, not even what waits for it."""
    with _at(db, workspace) as desk:
        endpoint = _found(desk, id)
        confirm(f"Send nothing to {endpoint.url} any more, not even what waits?", yes)
        gone = desk.ledger.wait(_endpoints(desk).remove(desk.workspace.id, id, desk.act()))
    return Answer(webhook_facts(gone), f"{id} is deleted")


def send_test(id: Id, workspace: In = None, db: Db = None, as_json: Json = False) -> Answer:
    """Send a webhook an event of a test; a server or `farthing worker` delivers it."""
    from farthing.outbox.endpoints import event_of_test

    with _at(db, workspace) as desk:
        act = desk.act()
        sent = desk.ledger.wait(_endpoints(desk).test(event_of_test(desk.workspace.id, id, act.at), id, act))
    text = f"{sent} is on its way: `farthing webhooks deliveries {id}` tells what came of it"
    return Answer({"webhook": id, "event": sent}, text)


def _check(
    *, url: str | None = None, types: list[str] | None = None, secret: str | None = None, allow_private: bool = False
) -> None:  # fmt: skip
    from farthing.outbox.endpoints import problems_of
    from farthing.settings import read_settings

    private = allow_private or read_settings().webhook_private == "allow"
    for field, why in problems_of(url=url, types=types, secret=secret, allow_private=private):
        hint = " (for tests: --allow-private)" if field == "url" and not private else ""
        raise invalid(field.replace("types/", "type "), f"{why}{hint}")


def _typed() -> str:
    if sys.stdin.isatty():
        say("paste the secret; Ctrl+D ends")
    return sys.stdin.buffer.read(MOST_BYTES).decode(errors="replace").strip()


# Looking


def list_all(workspace: In = None, db: Db = None, as_json: Json = False) -> Answer:
    """Where the events of a workspace are sent. Secrets are never shown."""
    from farthing.stores.endpoints import shown

    with _at(db, workspace) as desk:
        found = desk.ledger.wait(_endpoints(desk).of(desk.workspace.id))
    facts = [webhook_facts(shown(each)) for each in found]
    rows = [("WEBHOOK", "URL", "TYPES", "STATE")]
    rows += [(f["id"], f["url"], " ".join(f["types"]), _state(f)) for f in facts]
    return Answer({"data": facts}, columns(rows) if facts else "there are none: `farthing webhooks create` makes one")


def show(id: Id, workspace: In = None, db: Db = None, as_json: Json = False) -> Answer:
    """One webhook: what waits for it, and what became of the last events."""
    from farthing.stores.endpoints import shown

    with _at(db, workspace) as desk:
        endpoint, outbox = _found(desk, id), _outbox(desk)
        place = (desk.workspace.id, id)
        waiting = desk.ledger.wait(outbox.waiting(*place, SHOWN))
        tries = desk.ledger.wait(outbox.tries(*place, limit=SHOWN)).items
    facts = webhook_facts(shown(endpoint))
    facts["waiting"] = [
        {
            "event": each.event,
            "account": each.account or None,
            "attempts": each.attempts,
            "next_at": write_time(each.due_at),
        }
        for each in waiting
    ]
    facts["deliveries"] = [_try_facts(each) for each in tries]
    return Answer(facts, "\n\n".join([_text(facts), *_waiting(facts["waiting"]), *_tries(facts["deliveries"])]))


def deliveries(
    id: Id,
    outcome: Annotated[
        str | None, typer.Option("--outcome", metavar="WORD", help="Only delivered, failed or given_up.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, max=MOST, help="Tries to show.")] = 20,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:  # fmt: skip
    """What became of events on their way to a webhook: each try, newest first."""
    known = ("delivered", "failed", "given_up")
    if outcome not in (None, *known):
        raise invalid("outcome", f"must be one of {', '.join(known)}, not {outcome!r}")
    with _at(db, workspace) as desk:
        _found(desk, id)
        found = desk.ledger.wait(_outbox(desk).tries(desk.workspace.id, id, outcome=outcome or "", limit=limit))
    facts = [_try_facts(each) for each in found.items]
    return Answer({"data": facts}, "".join(_tries(facts)) or "nothing was sent yet")


def redeliver(
    id: Id,
    event: Annotated[str | None, typer.Argument(metavar="[EVENT]", help="The id of an event.")] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="WHEN", help="All from then on that were not delivered: a day or a time."),
    ] = None,
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:  # fmt: skip
    """Send an event again, whatever has become of it; or all since a time that were not delivered."""
    from farthing.stores.redelivering import Redelivering

    if (event is None) == (since is None):
        raise usage("say what: the id of an event, or --since WHEN")
    with _at(db, workspace) as desk:
        again, act = Redelivering(desk.ledger.database), desk.act()
        if event is not None:
            work = again.one(desk.workspace.id, id, event, act)
        else:
            work = again.since(desk.workspace.id, id, read_instant(since or "", act.at, "since"), act)
        done = desk.ledger.wait(work)
    return Answer({"webhook": id, "events": done.events}, f"{done.events} on the way to {id} again")


# Facts and texts


def webhook_facts(e: "ShownEndpoint") -> dict[str, Any]:
    """A webhook as programs read it."""
    return {
        "id": e.id, "url": e.url, "types": list(e.types), "description": e.description or None, "ordered": e.ordered,
        "state": e.state, "reason": e.reason or None, "failing_since": write_time(e.failing_since),
        "secrets": [{"hint": s["hint"], "until": write_time(s["until"])} for s in e.secrets],
        "created_at": write_time(e.created_at), "updated_at": write_time(e.updated_at),
    }  # fmt: skip


def _with_secret(made: "ShownEndpoint", secret: str, text: str) -> Answer:
    lines = f"{text}\n\n{secret}\n\nKeep it where the receiver verifies: it is not shown again."
    return Answer(webhook_facts(made) | {"secret": secret}, lines)


def _text(facts: dict[str, Any]) -> str:
    signed = ", ".join(f"...{s['hint']}" + (f" until {s['until']}" if s["until"] else "") for s in facts["secrets"])
    return pairs(
        {
            "webhook": facts["id"],
            "url": facts["url"],
            "types": " ".join(facts["types"]),
            "description": facts["description"] or "-",
            "order": "kept for each account" if facts["ordered"] else "not kept",
            "state": _state(facts),
            "signed with": signed,
        }
    )


def _state(facts: dict[str, Any]) -> str:
    if facts["state"] == "disabled":
        return f"disabled ({facts['reason']})"
    return f"failing since {facts['failing_since']}" if facts["failing_since"] else "enabled"


def _waiting(waiting: list[dict[str, Any]]) -> Iterator[str]:
    if waiting:
        rows = [("WAITING", "ACCOUNT", "TRIES", "NEXT")]
        rows += [(w["event"], w["account"] or "-", str(w["attempts"]), w["next_at"] or "in its turn") for w in waiting]
        yield columns(rows, right=(2,))


def _try_facts(each: "Try") -> dict[str, Any]:
    return {
        "event": each.event, "type": each.type, "attempt": each.attempt, "at": write_time(each.at),
        "outcome": each.outcome, "status": each.status, "detail": each.detail or None, "millis": each.millis,
    }  # fmt: skip


def _tries(tries: list[dict[str, Any]]) -> Iterator[str]:
    if tries:
        rows = [("EVENT", "TYPE", "TRY", "AT", "OUTCOME", "STATUS", "MS", "")]
        rows += [
            (
                t["event"], t["type"], str(t["attempt"]), t["at"], t["outcome"], str(t["status"] or "-"),
                str(t["millis"]), (t["detail"] or "")[:80],
            )
            for t in tries
        ]  # fmt: skip
        yield columns(rows, right=(2, 6))


# The ledger


@contextmanager
def _at(db: str | None, workspace: str | None) -> Iterator[Desk]:
    """A desk whose refusals are told."""
    from farthing.stores.access import AccessError

    with at_desk(db, workspace) as desk:
        try:
            yield desk
        except AccessError as error:
            raise Trouble(error.code, str(error), Exit.NO) from error


def _endpoints(desk: Desk) -> "Endpoints":
    from farthing.stores.endpoints import Endpoints

    return Endpoints(desk.ledger.database)


def _outbox(desk: Desk) -> "Outbox":
    from farthing.stores.outbox import Outbox

    return Outbox(desk.ledger.database)


def _found(desk: Desk, id: str) -> "WebhookEndpoint":
    found = desk.ledger.wait(_endpoints(desk).get(desk.workspace.id, id))
    if found is None:
        message = f"there is no webhook {id!r}; `farthing webhooks list` shows them"
        raise Trouble("webhook_not_found", message, Exit.NO, webhook=id)
    return found
