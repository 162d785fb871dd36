"""A ledger that ages: on either database, with a clock that a test moves, archived whenever a test says so."""

from pathlib import Path
from typing import Any

import apsw

from farthing.core.commands import DAY_US, Command
from farthing.core.outcomes import Outcome
from farthing.doctor import Report, examine
from farthing.retention.archive import archives_in
from farthing.retention.retiring import Done, Wanted, retire_all
from farthing.stores.postgres_sync import SyncConnection
from farthing.stores.schema import Place
from tests.scans import fold_what_waits
from tests.stores.shop import Shop

MAIN: dict[str, Any] = {"workspace": "main", "account": "alice"}


class Aging:
    """A shop, and what time does to its books."""

    def __init__(self, url: str, folder: Path) -> None:
        self.shop = Shop(url)
        self.place: Place = self.shop.ledger.backend.place
        self.folder = folder

    def close(self) -> None:
        self.shop.ledger.close()

    def ask(self, command: Command) -> Outcome:
        """What comes of a command."""
        return self.shop.ledger.do(command)

    def wait_days(self, days: int) -> None:
        """Time passes."""
        self.shop.clock.advance(days * DAY_US / 1_000_000)

    def fold(self) -> None:
        """Bring the sums of reports up to now."""
        self.shop.wait(fold_what_waits(self.shop.ledger.database, self.shop.now))

    def retire(self, days: int = 30, *, fold: bool = True, **more: Any) -> Done:
        """Archive what is older than so many days."""
        if fold:
            self.fold()
        now = self.shop.now
        wanted = Wanted(self.folder, now, "main", now - days * DAY_US, gentle=0, **more)
        (done,) = retire_all(self.place, wanted)
        return done

    @property
    def files(self) -> list[Path]:
        return archives_in(self.folder)

    def doctor(self, *, archives: bool = True) -> Report:
        """What doctor says, through the files or from the checkpoints on."""
        return examine(self.place, archives=self.files if archives else [])

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """What a statement finds."""
        if isinstance(self.place, str):
            with SyncConnection(self.place) as server:
                return server.rows(sql)
        db = apsw.Connection(str(self.place))
        try:
            return db.execute(sql).fetchall()
        finally:
            db.close()

    def run(self, sql: str) -> None:
        """Somebody's own statement, without asking anybody."""
        if isinstance(self.place, str):
            with SyncConnection(self.place) as server, server.transaction():
                server.execute(sql)
        else:
            db = apsw.Connection(str(self.place))
            try:
                db.execute(sql)
            finally:
                db.close()


def sound(report: Report) -> bool:
    """Whether doctor has found nothing; says what, where it has."""
    assert [(f.account, f.sentence) for f in report.findings] == []
    return report.healthy
