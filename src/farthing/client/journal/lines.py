"""Lines: a call as it stands in a journal. A line tells by itself whether it is whole: its checksum, the length of its
text, its text. A line without its end was cut off by a kill: whoever wrote it was told nothing yet.
"""

import zlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from ..calls import Call
from ..results import Charge, Settled
from ..stand_ins import BULK, CHARGES, SETTLES

_ANSWERS: Final[dict[str, Any]] = {CHARGES: Charge, SETTLES: Settled}
_ID_LETTERS: Final = 32
_encode = msgspec.json.Encoder().encode


ANY: Final = "*"
"""Of a credential: whatever the API key was."""


class Target(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The ledger that a call was meant for; nothing secret is in it."""

    ledger: str
    """The address of its server, or where its database is."""
    workspace: str = ""
    """Empty where only the API key says which."""
    credential: str = ""
    """By what the API key is known again; empty in process."""

    def takes(self, other: "Target") -> bool:
        """Whether what was meant for the other one may be sent here."""
        if self.ledger != other.ledger:
            return False
        if self.workspace and other.workspace:
            return self.workspace == other.workspace
        return self.credential in (ANY, other.credential)


class Kept(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A call in the journal, with what became of it."""

    key: str
    template: str
    names: dict[str, str]
    body: Raw
    """As it is to be sent."""
    target: Target
    queued_at: str
    why: str
    """What kept it from being delivered."""
    code: str = ""
    reason: str = ""
    """Of a parked one: the refusal."""
    parked_at: str = ""
    dropped_at: str = ""
    dropped_by: str = ""
    dropped_reason: str = ""

    @property
    def id(self) -> str:
        """What names it: a key alone is another one's in another account or ledger."""
        said = _encode([self.target.ledger, self.template, self.names, self.key, self.facts.get("account", "")])
        return sha256(said).hexdigest()[:_ID_LETTERS]

    @property
    def facts(self) -> dict[str, Any]:
        """What its body says."""
        found: dict[str, Any] = msgspec.json.decode(self.body)
        return found

    @property
    def stream(self) -> str:
        """Whose order it keeps: that of its account, or of its hold."""
        return self.names.get("id") or str(self.facts.get("account", ""))

    def call(self) -> Call[Any]:
        """The call, as it is sent now."""
        return Call(
            method="POST", template=self.template, answer=_ANSWERS[self.template], names=self.names,
            body=bytes(self.body), key=self.key, writes=True,
        )  # fmt: skip


def now_text() -> str:
    """The time, as it stands in a journal."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def kept_of(call: Call[Any], target: Target, why: str) -> list[Kept]:
    """A call as it is to be sent one day; many charges as one each. Under its key it has the same content as the call
    itself, so that it counts once where the call had arrived after all."""
    body = msgspec.json.decode(call.body, type=dict[str, Raw])
    if call.template != BULK:
        return [_kept(call.template, call.names, body, call.key, target, why)]
    items = msgspec.json.decode(body["items"], type=list[dict[str, Raw]])
    return [
        _kept(CHARGES, {}, item, msgspec.json.decode(item.pop("key"), type=str), target, why) for item in items
    ]  # fmt: skip


def _kept(
    template: str, names: Mapping[str, str], body: dict[str, Raw], key: str, target: Target, why: str
) -> Kept:  # fmt: skip
    at = now_text()
    # The work is done, or was let through: what is not there is owed, and a hold that has expired is charged for.
    body["shortfall"] = Raw(b'"debt"')
    if template == SETTLES:
        body.setdefault("late", Raw(b'"charge"'))
    if "usage" in body:
        used = msgspec.json.decode(body["usage"], type=dict[str, Raw])
        used.setdefault("at", Raw(_encode(at)))
        body["usage"] = Raw(_encode(used))
    return Kept(
        key=key, template=template, names=dict(names), body=Raw(_encode(body)), target=target, queued_at=at, why=why
    )  # fmt: skip


class Line(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One line: a call, or that one is done with."""

    kept: Kept | None = None
    done: str = ""


class Read(Struct):
    """What a file says."""

    waiting: dict[str, Kept]
    """By id, in their order."""
    cut: bool
    """Its last line has no end: nobody was told that it is kept."""
    damaged: int
    """Lines that were whole once and can't be believed."""


def to_line(what: Line) -> bytes:
    """A line as it is written."""
    text = _encode(what)
    return b"%08x %d %s\n" % (zlib.crc32(text), len(text), text)


def read_line(data: bytes) -> Line | None:
    """A line, where it is whole and of ours."""
    checksum, _, rest = data.partition(b" ")
    length, _, text = rest.partition(b" ")
    if checksum != b"%08x" % zlib.crc32(text) or length != b"%d" % len(text):
        return None
    try:
        return msgspec.json.decode(text, type=Line)
    except (msgspec.MsgspecError, UnicodeDecodeError):  # written by a version that says more
        return None


def read_lines(data: bytes) -> Read:
    """What the lines of a file come to."""
    *lines, last = data.split(b"\n")
    found = Read({}, cut=bool(last), damaged=0)
    for line in map(read_line, lines):
        if line is None:
            found.damaged += 1
        elif line.kept is not None:
            found.waiting.setdefault(line.kept.id, line.kept)
        else:
            found.waiting.pop(line.done, None)
    return found


def lines_of(kept: Iterable[Kept]) -> bytes:
    """Calls as they are written."""
    return b"".join(to_line(Line(kept=each)) for each in kept)
