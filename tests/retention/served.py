"""Archiving the ledger of a test's server, while it serves."""

import asyncio

from farthing.core.commands import DAY_US
from farthing.doctor import examine
from farthing.jobs.folding import fold_all
from farthing.retention.archive import archives_in
from farthing.retention.retiring import Done, Wanted, retire_all
from farthing.stores.rollups import Rollups
from tests.api.serving import Server


def archive(server: Server, days: int = 30) -> Done:
    """Let so much time pass twice, and archive all that is older; a grant comes last, which stays."""
    folder = server.path.with_name("archive")
    server.clock.advance(2 * days * 86_400)  # type: ignore[attr-defined]
    server.add("somebody else", 1)
    now = server.clock.now_us()
    asyncio.run(fold_all(Rollups(server.ledger.database), now))
    (done,) = retire_all(server.path, Wanted(folder, now, "main", now - days * DAY_US, gentle=0))
    assert [f.sentence for f in examine(server.path, archives=archives_in(folder)).findings] == []
    return done
