"""Streaming sessions: found by the name that their client gave them, and listed, each with its hold.

A session is open while its hold is: one that nobody ended is over when the hold's time is, also before that is booked.
"""

from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from farthing.core.commands import MINUTE_US
from farthing.core.ids import bucket_of
from farthing.core.records import Hold

from .reports import Database, Row
from .statements import statements

Status = Literal["active", "completed", "failed"]
MOST: Final = 1_000
"""Sessions that a listing has at most: the newest."""
_hold = msgspec.json.Decoder(Hold)


class Session(Struct, frozen=True):
    """A streaming session, and the hold that has its credits."""

    account: str
    name: str
    model: str
    estimated: int
    started_at: int
    ended_at: int | None
    """When it was finalized or aborted."""
    failed: bool
    hold: Hold

    def status(self, at: int) -> Status:
        """What it is at an instant."""
        if self.ended_at is not None:
            return "failed" if self.failed else "completed"
        if self.hold.state == "live" and self.hold.expires_at > at:
            return "active"
        # Nobody ended it: its time was over, or somebody did something to the hold itself.
        return "completed" if self.hold.state == "settled" else "failed"

    def over_at(self, at: int) -> int | None:
        """Since when it is over, by that instant; None while it is open, and where the hold was ended by itself."""
        if self.ended_at is not None:
            return self.ended_at
        # What is booked has happened, also where the clock has stepped back since.
        expired = self.hold.state == "expired" or (self.hold.state == "live" and self.hold.expires_at <= at)
        return self.hold.expires_at if expired else None


class StreamSessions:
    """Finds and lists streaming sessions; nothing of another workspace is ever found."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._sql = statements(db.dialect, "stream_sessions")

    async def get(self, workspace: str, account: str, name: str) -> Session | None:
        """The session that an account has under that name."""
        found = await self._listed("session", workspace, account, name, bucket_of(workspace, account))
        return found[0] if found else None

    async def active(self, workspace: str, account: str | None, at: int, longest_minutes: int) -> list[Session]:
        """Open sessions of an account, or of all, newest first. None began before the longest that a hold may live."""
        since = at - longest_minutes * MINUTE_US
        return await self._of("open", workspace, account, since, "live", at, MOST)

    async def recent(
        self, workspace: str, account: str | None, at: int, minutes: int, longest_minutes: int
    ) -> list[Session]:
        """Open sessions, and those that ended in the last minutes, newest first."""
        since = at - minutes * MINUTE_US
        begun = since - longest_minutes * MINUTE_US
        ended = await self._of("ended", workspace, account, since, MOST)
        others = await self._of("open", workspace, account, begun, None, since, MOST)
        found = {(session.account, session.name): session for session in (*others, *ended)}
        return sorted(found.values(), key=lambda session: (-session.started_at, session.account, session.name))[:MOST]

    async def _of(self, statement: str, workspace: str, account: str | None, *values: Any) -> list[Session]:
        if account is None:
            return await self._listed(f"{statement}_of_all", workspace, *values)
        return await self._listed(f"{statement}_of_account", workspace, account, *values)

    async def _listed(self, statement: str, *values: Any) -> list[Session]:
        return [_session(row) for row in await self._db.rows(self._sql[statement], values)]


def _session(row: Row) -> Session:
    account, name, model, estimated, started_at, ended_at, failed, terms = row
    return Session(account, name, model, estimated, started_at, ended_at, bool(failed), _hold.decode(terms))
