"""Retiring: entries that are old enough move to an archive file, and checkpoints take their place.

First the file: the entries are replayed as doctor does it, written with the state in which they leave their account,
and the file is closed, on the disk, and read back whole. Then, from the file, one short transaction after another lets
some entries of one account go. Whoever is killed between loses nothing: entries then stand in a file and in the ledger,
and the next run writes another file and goes on. What came meanwhile and is about older entries (a refund, say) leaves
its account for the next run.
"""

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Final

from msgspec import Struct

from farthing.core.checkpoint import Checkpoint, Closed
from farthing.core.commands import DAY_US
from farthing.core.ids import made_at
from farthing.core.invariants import Books
from farthing.core.records import Entry, GrantTerms, Hold
from farthing.core.refundable import charge_of, read_body
from farthing.stores.doctor import UNREADABLE, open_source
from farthing.stores.retention import Aging, Retaining
from farthing.stores.schema import Place, is_postgres
from farthing.timezones import calendar

from .archive import Archive, Header, Left, Line, Writer, sweep
from .erasing import erase_from

CHUNK: Final = 500
"""Entries that go in one transaction, or a few more: a few hundredths of a second in which, on SQLite, nobody else can
write."""
GENTLE: Final = 4.0
"""For a time of work, so much of rest."""
_NAP_SECONDS: Final = 0.25


class Done(Struct):
    """What became of a workspace."""

    workspace: str
    before: int
    """Entries that are older were to go."""
    accounts: int = 0
    entries: int = 0
    """That are archived and gone; in a dry run, that would be."""
    messages: int = 0
    """Of providers, that are done and older, and of which only what they were is kept."""
    file: str = ""
    left: list[tuple[str, str]] = []
    """Accounts that were left for another time, and why; the first of them."""
    skipped: int = 0
    """How many of those there are."""


MOST_LEFT: Final = 100
Progress = Callable[[str, int], None]
"""What is done, and how many entries of it so far."""


class NoFolder(ValueError):
    """Nobody has said where the files go."""


class Wanted(Struct, frozen=True):
    """What is asked for."""

    folder: Path | None
    """For the files."""
    now: int
    workspace: str | None = None
    """Only this one."""
    before: int | None = None
    """In place of what the workspace has set."""
    dry_run: bool = False
    gentle: float = GENTLE
    halted: Callable[[], bool] = lambda: False
    """Whether to end before the next part; the next run goes on."""


def retire_all(place: Place, wanted: Wanted, on_progress: Progress = lambda *_: None) -> list[Done]:
    """Archive what is old enough in each workspace that has set how long it keeps its entries."""
    with closing(Retaining(open_source(place, read_only=False))) as ledger:
        with ledger.snapshot():
            days = ledger.days()
        found = []
        for workspace, kept in days.items():
            if wanted.workspace in (None, workspace) and (kept or wanted.before is not None):
                before = wanted.before if wanted.before is not None else wanted.now - kept * DAY_US
                found.append(_Retiring(ledger, Done(workspace, before), wanted, on_progress).run())
        return found


def folder_of(place: Place, archive_dir: str) -> Path | None:
    """Where archive files go: where the setting says, else beside a SQLite file."""
    if archive_dir:
        return Path(archive_dir)
    return None if is_postgres(place) else Path(f"{place}.archive")


def _folder(wanted: Wanted) -> Path:
    if wanted.folder is None:
        raise NoFolder(
            "where archive files go has to be said with FARTHING_ARCHIVE_DIR: a folder on a disk that is backed up"
        )
    return wanted.folder


class _Retiring:
    """One run over one workspace."""

    def __init__(self, ledger: Retaining, done: Done, wanted: Wanted, on_progress: Progress) -> None:
        self._ledger = ledger
        self._done = done
        self._wanted = wanted
        self._on_progress = on_progress
        self._header = Header(done.workspace, secrets.token_hex(4), wanted.now, done.before)
        self._writer: Writer | None = None
        self._planned = 0
        self._erased: set[str] = set()
        """Accounts whose texts were erased after they had been written to the file."""

    def run(self) -> Done:
        """Write the file, then let go of what is in it."""
        self._forget()
        try:
            for account, head in self._accounts():
                if self._wanted.halted():
                    break
                began = time.monotonic()
                for part in self._parts(account, head):
                    self._write(part)
                self._rest(began)
            path = self._writer.close() if self._writer else None
        except BaseException:
            if self._writer:
                self._writer.abandon()
            raise
        if path is not None:
            self._done.file = str(path)
            self._let_go(Archive(path))
        return self._done

    def _forget(self) -> None:
        """What providers have said goes by itself: no file has it."""
        done = self._done
        if self._wanted.dry_run:
            with self._ledger.snapshot():
                done.messages = self._ledger.old_messages(done.workspace, done.before)
            return
        while not self._wanted.halted():
            began = time.monotonic()
            count = self._ledger.forget_messages(done.workspace, done.before)
            done.messages += count
            if not count:
                return
            self._rest(began)

    # What may go

    def _accounts(self) -> Iterator[tuple[str, int]]:
        """Accounts with entries that are old enough, and the number of the last one each has."""
        after = ""
        while True:
            with self._ledger.snapshot():
                page = self._ledger.aging_accounts(self._done.workspace, after)
            for id, _, head, first_at in page:
                if first_at is not None and first_at < self._done.before:
                    yield id, head
            if not page:
                return
            after = page[-1][0]

    def _parts(self, account: str, head: int) -> Iterator[tuple[list[Aging], Left]]:
        """The entries of an account that may go, each part with the state in which it leaves the account."""
        with self._ledger.snapshot():
            try:
                yield from _Account(self._ledger, self._done, account, head).parts()
            except _Unfit as unfit:
                self._leave(account, str(unfit))
            except UNREADABLE as error:
                self._leave(account, f"it can't be read ({error})")

    def _leave(self, account: str, why: str) -> None:
        self._done.skipped += 1
        if len(self._done.left) < MOST_LEFT:
            self._done.left.append((account, why))

    # The file

    def _write(self, part: tuple[list[Aging], Left]) -> None:
        entries, left = part
        if self._wanted.dry_run:
            self._count(left, len(entries))
            return
        if self._writer is None:
            folder = _folder(self._wanted)
            sweep(folder)
            self._writer = Writer(folder, self._header)
        for each in entries:
            self._writer.add(Line(each.entry, each.usage, each.erased))
        self._writer.add(left)
        self._planned += len(entries)
        self._on_progress("written to the archive", self._planned)

    def _count(self, left: Left, entries: int) -> None:
        self._done.accounts += self._last_counted != left.owner[1]
        self._last_counted = left.owner[1]
        self._done.entries += entries
        self._on_progress("archived", self._done.entries)

    _last_counted: str | None = None

    # Letting go

    def _let_go(self, archive: Archive) -> None:
        """What the file has goes, a transaction for each part."""
        try:
            self._let_parts_go(archive)
        finally:
            for account in self._erased:
                erase_from([archive.path], self._done.workspace, account)

    def _let_parts_go(self, archive: Archive) -> None:
        lines: list[Line] = []
        passed: tuple[str, str] | None = None
        for line in archive.lines():
            if self._wanted.halted():
                return
            if isinstance(line, Line):
                lines.append(line)
                continue
            if line.owner != passed:
                began = time.monotonic()
                why = self._retire(lines, line, archive)
                if why is None:
                    self._count(line, len(lines))
                else:
                    # What follows in the file follows on this.
                    passed = line.owner
                    self._leave(line.owner[1], why)
                self._rest(began)
            lines = []

    def _rest(self, began: float) -> None:
        """Let others work, in no transaction; who is to end is not kept by that."""
        until = time.monotonic() + (time.monotonic() - began) * self._wanted.gentle
        while (left := until - time.monotonic()) > 0 and not self._wanted.halted():
            time.sleep(min(left, _NAP_SECONDS))

    def _retire(self, lines: list[Line], left: Left, archive: Archive) -> str | None:
        """Let one part go; or say why not."""
        a, entries = left.closed.account, [line.entry for line in lines]
        with self._ledger.alone(a.workspace, a.id, a.bucket):
            before = self._ledger.checkpoint(a.workspace, a.id, a.bucket)
            if (before.number if before else 0) != left.since - 1:
                return "another run has archived some of it"
            if any(_names_before(entry, a.at) for entry in self._ledger.later_acts(a.workspace, a.id, left.head)):
                return "what is old was given back, or changed, while it was being archived"
            erased = self._ledger.erased((entry.id for entry in entries), a.bucket)
            if any(erased.get(line.entry.id) != line.erased for line in lines):
                # The file has the texts, and so would the kept answers.
                self._erased.add(a.id)
                return "its texts were erased while it was being archived"
            self._ledger.allow()
            self._ledger.keep_keys(entries)
            self._ledger.keep_payments(entries)
            self._drop(entries, left.closed, before.closed if before else None)
            self._ledger.put_checkpoint(
                Checkpoint(left.closed, left.used_until, archive.path.name, archive.header.made_at)
            )
            self._ledger.forbid()
        return None

    def _drop(self, entries: list[Entry], closed: Closed, before: Closed | None) -> None:
        staying, bucket = set(closed.staying), closed.account.bucket
        stayed = before.staying if before else []
        gone = [id for id in chain(stayed, (entry.id for entry in entries)) if id not in staying]
        for table in ("usage", "erased", "entries"):
            self._ledger.drop_rows(table, gone, bucket)
        carried = {charge.id for charge in closed.charges}
        carried_before = [charge.id for charge in before.charges] if before else []
        over = [id for id in chain(carried_before, (entry.id for entry in entries)) if id not in carried]
        self._ledger.drop_rows("charges", over, bucket)


class _Unfit(Exception):
    """Why an account is left as it is."""


class _Account:
    """One account: which of its entries may go, and how they leave it."""

    def __init__(self, ledger: Retaining, done: Done, account: str, head: int) -> None:
        self._ledger = ledger
        self._before = done.before
        self._owner = (done.workspace, account)
        self._head = head
        self._lanes = ledger.lanes()
        self._books = Books(*self._owner, calendar, ledger.entry)
        self._bucket = self._books.row().bucket
        self._checkpoint = ledger.checkpoint(*self._owner, self._bucket)
        self._used_until = self._checkpoint.used_until if self._checkpoint else 0
        self._staying: list[str] = []
        """Charges that entries give back which are not replayed yet."""
        if self._checkpoint:
            self._books.go_on(self._checkpoint.closed)
            self._staying = list(self._checkpoint.closed.staying)

    def parts(self) -> Iterator[tuple[list[Aging], Left]]:
        """Parts of some hundred entries. None ends between two entries of one instant: what is archived and what is
        not is told apart by time."""
        since, part, most = self._books.number + 1, list[Aging](), CHUNK
        for each, following in self._aging():
            part.append(each)
            self._replay(each)
            apart = following is None or following.entry.at > each.entry.at
            if apart and (len(part) >= most or following is None or not self._may_go(following)):
                left = self._left(since)
                yield part, left
                since, part = self._books.number + 1, []
                # A state is as long as what it carries: written once for as many entries, it costs no more than they.
                most = max(CHUNK, left.closed.size)

    def _aging(self) -> Iterator[tuple[Aging, Aging | None]]:
        """The entries that may go, each with the one after it, if there is one."""
        held: list[Aging] = []
        """Of one instant: they go together, or not at all."""
        for each in self._stream():
            if held and each.entry.at > held[0].entry.at:
                yield from zip(held, [*held[1:], each], strict=True)
                held = []
            if not self._may_go(each):
                return
            held.append(each)
        yield from zip(held, [*held[1:], None], strict=True)

    def _stream(self) -> Iterator[Aging]:
        after = self._books.number
        while page := self._ledger.aging(*self._owner, after, CHUNK, self._lanes):
            yield from page
            after = page[-1].entry.number

    def _may_go(self, each: Aging) -> bool:
        return each.may_go and each.entry.at < self._before

    def _replay(self, each: Aging) -> None:
        entry = each.entry
        if problems := self._books.add(entry, each.erased):
            raise _Unfit(f"its books are not sound, see `farthing doctor`: {problems[0]}")
        self._used_until = max(self._used_until, entry.at, each.usage.at if each.usage else 0)
        if each.charge is not None and each.charge.refunded:
            self._staying.append(entry.id)
            self._books.charges.setdefault(entry.id, charge_of(entry))

    def _left(self, since: int) -> Left:
        self._staying = [id for id in self._staying if self._is_given_back_later(id)]
        closed = self._books.close(self._before, self._changes, self._staying)
        return Left(since, self._head, self._used_until, closed)

    def _is_given_back_later(self, id: str) -> bool:
        now, then = self._ledger.charge(id, self._bucket), self._books.charges.get(id)
        return now is not None and then is not None and getattr(now.record, "refunded", 0) != then.refunded

    def _changes(self, record: GrantTerms | Hold) -> bool:
        """Whether an entry that comes later has changed its row."""
        find = self._ledger.hold if isinstance(record, Hold) else self._ledger.grant
        stored = find(record.id, self._bucket)
        return stored is None or stored.record != record


def _names_before(entry: Entry, at: int) -> bool:
    """Whether an entry is about something that was there by then."""
    body = read_body(entry)
    named = [charge for charge, _, _ in body.refunds]
    named += [body.ref] if entry.kind != "settle" else []
    if entry.kind == "settle" and body.hold is not None and not body.hold.slices and not body.hold.remaining:
        # After its end: nothing is set aside any more that it could take.
        named.append(body.hold.id)
    return any(made is not None and made <= at for made in map(made_at, named))
