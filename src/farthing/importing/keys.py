"""Spent keys: a key of another system with what it was answered, so that a repeat is told the same through the API that
it came by. The fingerprint is that of the command which the same request is here.
"""

from typing import Final

import msgspec

from farthing.core.amounts import write_amount
from farthing.core.commands import KEY_BYTES, Command, GiveGrant, PlaceHold, TakeCharge, check, text_error
from farthing.core.context import Context
from farthing.core.decide import content_mark
from farthing.core.draft import HASH_VERSION
from farthing.core.ids import bucket_of
from farthing.core.records import Body, Entry, GrantTerms, HoldTerms, KeptKey
from farthing.core.usage import Metered, Priced, Usage

from . import values as read
from .asking import Into
from .form import KeyKind, KeyLine, Wrong

KINDS: Final[dict[str, tuple[KeyKind, ...]]] = {
    "cw.deduct:": ("charge",),
    "cw.add:": ("grant",),
    "acc.deduct:": ("charge",),
    "acc.usage:": ("charge",),
    "acc.allocate:": ("grant",),
    "acc.session:": ("session",),
    "v1:": ("charge", "grant"),
}
"""Beginnings of keys, and what each may have been for."""
STREAMING: Final = "chat-streaming"
"""The service of streaming sessions, as the accounting dialect names it."""
MINUTE_US: Final = 60_000_000
_encode = msgspec.json.Encoder().encode


def _no_id(prefix: str, at: int, bucket: int) -> str:
    raise AssertionError("the content of a command is its own")


def _no_calendar(at: int, zone: str) -> tuple[int, int, int, int]:
    raise AssertionError("the content of a command is its own")


_context: Final = Context(_no_id, _no_calendar)


def kept(line: KeyLine, into: Into) -> KeptKey:
    """The key with its answer."""
    beginning = _beginning(line)
    command, body, amount = _MAKE[line.kind](line, into, beginning)
    if wrong := check(command):
        raise Wrong(wrong.field, wrong.message)
    bucket = bucket_of(into.workspace, line.account)
    mark = content_mark(command, _context)
    balance = read.signed(line.balance, into.scale, "balance") if line.balance is not None else 0
    answer = Entry(
        into.workspace, line.account, bucket, 0, line.id or line.key[len(beginning) :], command.kind, amount, balance,
        0, 0, read.past(line.at, "at", into.now_us) or 0, line.key, mark, into.actor, "", command.operation,
        line.description, read.own_object(line.metadata), _encode(body).decode(), HASH_VERSION, b"",
    )  # fmt: skip
    return KeptKey(into.workspace, line.key, line.account, bucket, mark, answer)


def _beginning(line: KeyLine) -> str:
    if wrong := text_error(line.key, KEY_BYTES):
        raise Wrong("key", wrong)
    found = next((each for each in KINDS if line.key.startswith(each) and line.key != each), None)
    if found is None:
        raise Wrong("key", f"must begin with one of {', '.join(KINDS)}, by the API that it came through")
    if line.kind not in KINDS[found]:
        raise Wrong("kind", f"must be {' or '.join(KINDS[found])} where the key begins with {found}")
    if line.balance is None and line.kind != "session":
        raise Wrong("balance", "is needed: what the answer said that the account had after it")
    return found


def _asked(line: KeyLine, into: Into, beginning: str) -> tuple[int, str]:
    if beginning == "v1:":
        return read.amount(line.amount, into.scale, "amount"), ""
    amount, asked = read.as_asked(line.amount, into.scale, "amount")
    # What records usage says its amount in words, whatever was charged for it.
    return amount, asked or (write_amount(amount, into.scale) if beginning == "acc.usage:" else "")


def _charge(line: KeyLine, into: Into, beginning: str) -> tuple[Command, Body, int]:
    amount, asked = _asked(line, into, beginning)
    usage = None
    if beginning == "acc.usage:":
        priced = Priced(amount=amount, exact=write_amount(amount, into.scale))
        usage = Metered(Usage(service=line.service, operation=line.operation), priced, given=True)
    command = TakeCharge(
        workspace=into.workspace, account=line.account, key=line.key, amount=amount, asked=asked,
        operation=line.operation, usage=usage,
    )  # fmt: skip
    return command, Body(spent=amount, asked=asked, usage=usage), -amount


def _grant(line: KeyLine, into: Into, beginning: str) -> tuple[Command, Body, int]:
    amount, asked = _asked(line, into, beginning)
    ends = read.instant_if(line.expires_at, "expires_at")
    command = GiveGrant(
        workspace=into.workspace, account=line.account, key=line.key, amount=amount, asked=asked, source=line.source
    )  # fmt: skip
    given_at = read.past(line.at, "at", into.now_us) or 0
    id = line.id or line.key[len(beginning) :]
    terms = GrantTerms(id, amount, expires_at=ends, created_at=given_at, source=line.source)
    return command, Body(grants=[terms], earned=amount, asked=asked), amount


def _session(line: KeyLine, into: Into, beginning: str) -> tuple[Command, Body, int]:
    held = read.amount(line.amount, into.scale, "amount")
    if not line.model or line.tokens is None or line.tokens < 1:
        field = "tokens" if line.model else "model"
        raise Wrong(field, "is needed of a session: what was estimated, of which model")
    usage = Usage(
        model=line.model, service=STREAMING, operation=line.model, dimensions={"tokens": str(line.tokens)}
    )  # fmt: skip
    command = PlaceHold(
        workspace=into.workspace, account=line.account, key=line.key, amount=held, ttl=MINUTE_US, operation=line.model,
        usage=Metered(usage, Priced(amount=held, exact="0")),
    )  # fmt: skip
    return command, Body(hold=HoldTerms(line.key, held, held)), 0


_MAKE: Final = {"charge": _charge, "grant": _grant, "session": _session}
