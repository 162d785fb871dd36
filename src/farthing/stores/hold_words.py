"""Hold words: what was said of a hold that time has ended, in the place of what nobody could say at its end."""

from typing import Any, Final

import msgspec

from farthing.core.ids import made_at
from farthing.core.records import Entry
from farthing.core.refundable import read_body

from .directory import Directory, Used
from .pages import WINDOW

_KINDS: Final = ("hold", "extend")


async def said_of_hold(directory: Directory, used: Used) -> dict[str, Any] | None:
    """The metadata of the entries about the hold of a charge that its expiry made; where several tell the same, the
    last one counts. None where nothing was said, or the charge is another one."""
    end = used.entry
    if end.kind != "expire":
        return None
    hold = read_body(end).ref
    said: dict[str, Any] = {}
    after = None
    while True:
        page = await directory.entries(
            end.workspace, end.account, kinds=_KINDS, since=made_at(hold), oldest_first=True, after=after, limit=WINDOW,
        )  # fmt: skip
        for entry in page.items if page is not None else ():
            if entry.number < end.number and read_body(entry).ref == hold:
                said = _with(said, entry)
        if page is None or page.next is None or int(page.next[0]) >= end.number:
            return said or None
        after = page.next


def _with(before: dict[str, Any], entry: Entry) -> dict[str, Any]:
    """Metadata with what an entry has besides, or newer; also of one object within."""
    more = {} if entry.metadata is None else msgspec.json.decode(entry.metadata)
    for name, value in more.items():
        old = before.get(name)
        more[name] = old | value if isinstance(old, dict) and isinstance(value, dict) else value
    return before | more
