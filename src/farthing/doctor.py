"""Doctor: walks a live database and names each account that breaks a law, and why.

Law 2 is read off the database's settings and schema, laws 3 to 7 off the entries: each account's are replayed and held
against every row that is derived from them. Whole tables are walked as well, for rows that no entry explains.

A walk takes short read transactions, so that it works beside a running server, and memory that does not grow with
the ledger. An account that is too long for one transaction is read on in the next, and judged in the one in which
its last entry is read; entries that come meanwhile are replayed too.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from msgspec import Struct

from farthing.core.agreement import Problem
from farthing.core.holds import PLACES
from farthing.core.ids import bucket_of, made_at
from farthing.core.refundable import CHARGES
from farthing.retention.through import examine_archives
from farthing.stores.books import Replay
from farthing.stores.contract import NotADatabase
from farthing.stores.doctor import UNREADABLE, Reading, Row
from farthing.stores.doctor_usage import UsageCheck
from farthing.stores.schema import Place
from farthing.timezones import calendar

ENTRIES: Final = 20_000
"""How many entries one read transaction takes at most."""
FINDINGS: Final = 1_000
"""How many findings a report keeps; all are counted, and told to who listens."""
FINDINGS_OF_ONE: Final = 20
"""How many of one account are told one by one."""

Progress = Callable[[str, int, int], None]
"""What is walked, how much of it is done, and of how much (0: not known)."""


class Finding(Struct, frozen=True):
    """One thing that is wrong; without an account it is about the whole database."""

    law: int
    workspace: str
    account: str
    sentence: str


class Report(Struct):
    """What doctor saw."""

    accounts: int = 0
    entries: int = 0
    archived: int = 0
    """Entries that were read in archive files."""
    keys: int = 0
    payments: int = 0
    wrong_accounts: int = 0
    found: int = 0
    """How many findings there were; `findings` has the first of them."""
    findings: list[Finding] = []
    seconds: float = 0

    @property
    def healthy(self) -> bool:
        """Nothing was found."""
        return self.found == 0


def examine(
    place: Place,
    *,
    deep: bool = False,
    archives: Sequence[Path] = (),
    on_progress: Progress = lambda *_: None,
    on_finding: Callable[[Finding], None] = lambda _: None,
) -> Report:
    """Check laws 2 to 7 of every account of a SQLite file or a PostgreSQL address; `deep` also has the database check
    its pages and indexes. Given archive files, archived entries are checked as well, from the first one on."""
    with closing(Reading.open(place)) as reading:
        examination = Examination(reading, on_progress, on_finding)
        if archives:
            examination.look_through(place, archives)
        return examination.run(deep)


class Examination:
    """One walk over one database."""

    def __init__(self, reading: Reading, on_progress: Progress, on_finding: Callable[[Finding], None]) -> None:
        self._reading = reading
        self._on_progress = on_progress
        self._on_finding = on_finding
        self._report = Report()
        self._wrong: set[tuple[str, str]] = set()

    def look_through(self, place: Place, archives: Sequence[Path]) -> None:
        """What is archived, up to the checkpoints from which the walk goes on."""
        self._report.archived = examine_archives(place, archives, self._tell, self._on_progress)

    def run(self, deep: bool = False) -> Report:
        """Everything, in turn."""
        began = time.monotonic()
        try:
            self._file(deep)
            self._accounts()
            self._owners()
            self._keys()
            self._records()
            self._usage()
            self._payments()
        except NotADatabase as error:
            self._tell(2, "", "", f"{error}; what comes after it was not looked at: restore a backup")
        self._report.wrong_accounts = len(self._wrong)
        self._report.seconds = time.monotonic() - began
        return self._report

    def _tell(self, law: int, workspace: str, account: str, sentence: str) -> None:
        finding = Finding(law, workspace, account, sentence)
        if account:
            self._wrong.add((workspace, account))
        self._report.found += 1
        if len(self._report.findings) < FINDINGS:
            self._report.findings.append(finding)
        self._on_finding(finding)

    # The file

    def _file(self, deep: bool) -> None:
        """Law 2: what is told is on the disk; and what keeps entries from being changed is in place."""
        for sentence in self._reading.undurable():
            self._tell(2, "", "", sentence)
        for sentence in self._reading.schema_differences():
            self._tell(5, "", "", sentence)
        self._on_progress("pages", 0, 0)
        if deep:
            for sentence in self._reading.damage():
                self._tell(2, "", "", sentence)

    # Accounts

    def _accounts(self) -> None:
        total, after = self._reading.count_accounts(), ("", "", -1)
        while True:
            before = after
            unfinished: _Account | None = None
            with self._reading.snapshot():
                left, known = ENTRIES, self._reading.workspaces()
                for row in self._reading.accounts(after):
                    after = row[:3]
                    account = self._begin(row, known)
                    if not account.read(left):
                        unfinished = account
                        break
                    account.judge(row)
                    left -= self._end(account)
                    if left <= 0:
                        break
            if unfinished is not None:
                self._finish(unfinished)
            self._on_progress("accounts", self._report.accounts, max(total, self._report.accounts))
            if after == before:
                return

    def _begin(self, row: Row, workspaces: set[str]) -> "_Account":
        workspace, account, bucket = row[:3]
        examined = _Account(self._reading, workspace, account, self._tell)
        if workspace not in workspaces:
            self._tell(5, workspace, account, "its workspace does not exist")
        if bucket != bucket_of(workspace, account):
            self._tell(5, workspace, account, f"its row is in bucket {bucket}, where nobody looks for it")
        return examined

    def _finish(self, account: "_Account") -> None:
        """Read on, a transaction at a time, up to the one that sees its end; entries may come meanwhile."""
        done = False
        while not done:
            self._on_progress(f"entries of {account.name}", account.replay.entries, 0)
            with self._reading.snapshot():
                done = account.read(ENTRIES)
                if done:
                    account.judge(account.replay.row())
        self._end(account)

    def _end(self, account: "_Account") -> int:
        account.close()
        self._report.accounts += 1
        self._report.entries += account.replay.entries
        return account.replay.entries

    # Whole tables

    def _owners(self) -> None:
        """Rows of accounts that have no row themselves."""
        said = {
            "entry": "it has entries, but no row: rebuild makes it again",
            "grants": "it has grants in the history, but no row",
            "subscription": "it has a subscription, but no row",
            "job": "time is to act on it, but it has no row",
        }
        for table, sentence in said.items():
            after: tuple[str, str] | None = ("", "")
            while after is not None:
                with self._reading.snapshot():
                    page = self._reading.owners(table, after)
                for *owner, has_row in page:
                    if not has_row:
                        self._tell(5, owner[0], owner[1], sentence)
                after = page[-1][:2] if page else None

    def _pages(self, table: str, start: Row) -> Iterator[Row]:
        """All rows of a table, each page in a transaction of its own; a row begins with its key."""
        after, last, done = start, None, 0
        while after != last:
            last = after
            with self._reading.snapshot():
                for row in self._reading.page(table, after):
                    after = row[: len(start)]
                    done += 1
                    yield row
            self._on_progress(table, done, 0)

    def _keys(self) -> None:
        """Law 3, from the other side: each key stands for an entry that has it."""
        for workspace, key, account, _, number, found in self._pages("keys", ("", "", "", -1)):
            self._report.keys += 1
            # Without an account a key stands for a row of another table.
            if account and key != found:
                said = f"the key {key!r} stands for entry {number}, which does not have it"
                self._tell(3, workspace, account, said)

    def _records(self) -> None:
        """Holds and charges that no entry made, and sessions without their holds."""
        for hold_id, _, workspace, account, kind, archived_at in self._pages("holds", ("", -1)):
            # What is of archived entries was looked at with its account, all of it together.
            if kind not in PLACES and not (kind is None and _is_before(hold_id, archived_at)):
                self._tell(6, workspace, account, f"hold {hold_id} has a row, but no entry placed it")
        for charge_id, bucket, workspace, account, kind in self._pages("charges", ("", -1)):
            if kind is None and not self._is_carried(workspace, account, bucket, charge_id):
                self._tell(7, workspace, account, f"charge {charge_id} has a row, but there is no such entry")
        for workspace, account, session, _, hold, ended, state, *owner in self._pages("sessions", ("", "", "", -1)):
            if owner != [workspace, account]:
                where = f"of account {owner[1]!r} in {owner[0]!r}" if state else "that does not exist"
                self._tell(6, workspace, account, f"session {session!r} has a hold {where}: {hold}")
            elif ended and state == "live":
                self._tell(6, workspace, account, f"session {session!r} has ended, but its hold lives: {hold}")

    def _is_carried(self, workspace: str, account: str, bucket: int, charge_id: str) -> bool:
        """Whether it is a charge of an archived entry that is owed, or was when that was archived."""
        checkpoint = self._reading.checkpoint(workspace, account, bucket)
        return checkpoint is not None and any(charge.id == charge_id for charge in checkpoint.closed.charges)

    def _payments(self) -> None:
        """Law 9: what was claimed was credited, to the account that the directory names."""
        for workspace, provider, payment, account, entry, *found in self._pages("payments", ("", "", "")):
            self._report.payments += 1
            if found != [workspace, account]:
                where = f"of account {found[1]!r} in {found[0]!r}" if found[1] else "that does not exist"
                said = f"the payment {provider}:{payment} is claimed by entry {entry} {where}"
                self._tell(9, workspace, account, said)

    def _usage(self) -> None:
        """What reports are read from."""
        for usage_id, _, workspace, account, kind in self._pages("usage", ("", -1)):
            if kind not in CHARGES:
                self._tell(5, workspace, account, f"usage {usage_id} has a row, but no charge carries it")
        self._on_progress("sums of usage", 0, 0)
        UsageCheck(self._reading, lambda *found: self._tell(5, *found)).run()


def _is_before(id: str, at: int | None) -> bool:
    """Whether an id was made by then."""
    return at is not None and (made := made_at(id)) is not None and made <= at


class _Account:
    """One account under examination: tells the first things that are wrong with it, counts the others."""

    def __init__(
        self, reading: Reading, workspace: str, account: str, tell: Callable[[int, str, str, str], None]
    ) -> None:
        self.replay = Replay(reading, workspace, account, calendar)
        self.name = f"{workspace}/{account}"
        self._owner = (workspace, account)
        self._tell_all = tell
        self._found = 0
        self._unreadable = False

    def _tell(self, problem: Problem) -> None:
        self._found += 1
        if self._found <= FINDINGS_OF_ONE:
            self._tell_all(problem.law, *self._owner, str(problem))

    def read(self, limit: int) -> bool:
        """Read entries; whether the end was reached, or something that can't be read."""
        try:
            return self.replay.read(limit, self._tell)
        except UNREADABLE as error:
            self._give_up(f"an entry after {self.replay.books.number} can't be read ({error})")
            return True

    def judge(self, row: Row | None) -> None:
        """Hold its rows against its entries."""
        if self._unreadable:
            return
        try:
            for disagreement in (*self.replay.keys, *self.replay.disagreements(row)):
                for problem in disagreement.problems:
                    self._tell(problem)
        except UNREADABLE as error:
            self._give_up(f"a grant, hold or charge of it can't be read ({error})")

    def _give_up(self, sentence: str) -> None:
        self._unreadable = True
        self._tell(Problem(5, sentence))

    def close(self) -> None:
        """Say how many were not told, and let go."""
        if self._found > FINDINGS_OF_ONE:
            self._tell_all(5, *self._owner, f"and {self._found - FINDINGS_OF_ONE} more")
        self.replay.close()
