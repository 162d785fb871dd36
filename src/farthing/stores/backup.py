"""Backup and restore: a whole copy of a ledger, made beside a running server, and put back without losing the old.

A copy is made of one snapshot, so that writers need not wait and never make it begin anew. It grows under a name of
its own, is checked against what it was made of, and only then takes its place, in one step that a power cut
survives. A restore does the same, and needs the database to itself meanwhile.
"""

import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

import apsw
from msgspec import Struct

from . import migrate, sqlite
from .contract import StoreError
from .lockfile import Locked, LockFile
from .sqlite import translate

PAGES_AT_ONCE: Final = 1_000
Progress = Callable[[int, int], None]
"""Pages copied, pages in all."""


class BackupError(StoreError):
    """A backup or a restore that was not made; nothing was changed."""

    code = "backup_failed"


class TargetExists(BackupError):
    """There is a file already, and nobody said that it may be replaced."""

    code = "target_exists"


class InUse(BackupError):
    """Another process has the database that a restore would replace."""

    code = "in_use"


class NotRestorable(BackupError):
    """What is to be restored is no whole Farthing database."""

    code = "not_restorable"


class Copied(Struct):
    """A copy that was checked and is in its place."""

    path: str
    size: int
    """In bytes."""
    entries: int
    accounts: int
    seconds: float
    pending: list[str] = []
    """Migrations that a restored database lacks."""
    aside: str | None = None
    """Where the database is that a restore replaced."""


def backup(source: Path, target: Path, *, replace: bool = False, on_progress: Progress = lambda *_: None) -> Copied:
    """Copy a ledger that others may be writing; `replace` allows for a backup that is there already."""
    began = time.monotonic()
    _check_target(source, target, replace)
    with closing(sqlite.connect(source, read_only=True)) as db, _growing(target) as growing:
        _our_status(db, source)
        copied = _copy(db, growing, on_progress)
        _give_rights(growing, source)
        _settle(growing, target, replace)
    copied.path, copied.seconds = str(target), time.monotonic() - began
    return copied


def _check_target(source: Path, target: Path, replace: bool) -> None:
    if not target.parent.is_dir():
        raise BackupError(f"there is no folder {target.parent}; make it first")
    if target.is_dir():
        raise BackupError(f"{target} is a folder; name a file in it")
    if not target.exists():
        return
    if target.samefile(source):
        raise BackupError(f"{target} is the database itself; name another file")
    if not replace:
        raise TargetExists(f"there is a file {target} already; name another one, or say that it may be replaced")
    with _alone(target):
        pass  # An old backup, which nobody has open, may go.


def restore(
    source: Path,
    target: Path,
    *,
    replace: bool = False,
    keep: bool = True,
    force: bool = False,
    examine: Callable[[Path], Sequence[str]] = lambda _: (),
    on_progress: Progress = lambda *_: None,
) -> Copied:
    """Put a backup in the place of a database. `replace` allows for one that is there, which is kept aside unless
    `keep` is false. `examine` looks at the copy and says what is wrong with it; `force` restores it all the same."""
    began = time.monotonic()
    if not source.is_file():
        raise NotRestorable(f"there is no file {source}")
    if not target.parent.is_dir():
        raise BackupError(f"there is no folder {target.parent}; make it first")
    with ExitStack() as held:
        # The name as it was given, and where a link under that name leads: a `serve` may have been started with either.
        for place in dict.fromkeys((target.parent.resolve() / target.name, target.resolve())):
            held.enter_context(_lock(place))
        target = target.resolve()
        db = held.enter_context(closing(_open_backup(source)))
        status = _our_status(db, source)
        if target.exists() and target.samefile(source):
            raise BackupError(f"{source} is the database itself; name a backup of it")
        if target.exists() and not replace:
            raise TargetExists(f"there is a database {target} already; say that it may be replaced")
        growing = held.enter_context(_growing(target))
        with _alone(target):
            copied = _copy(db, growing, on_progress)
            _refuse_wrong(examine(growing), force)
            _drop_companions(growing)
        _give_rights(growing, target if target.exists() else source)
        copied.aside = _put_aside(target)
        _settle(growing, target, replace=False)
    if copied.aside is not None and not keep:
        os.unlink(copied.aside)
        copied.aside = None
    copied.pending = [migration.file for migration in status.pending]
    copied.path, copied.seconds = str(target), time.monotonic() - began
    return copied


def _refuse_wrong(found: Sequence[str], force: bool) -> None:
    if found and not force:
        more = f", and {len(found) - 1} more" if len(found) > 1 else ""
        raise NotRestorable(f"the backup itself is wrong: {found[0]}{more}. Nothing was restored")


# Opening


def _our_status(db: apsw.Connection, path: Path) -> migrate.Status:
    """Where its schema stands; raises for a database that is not Farthing's or that this program is too old for."""
    try:
        status = migrate.check(db, migrate.discover("sqlite"))
    except migrate.MigrationError as error:
        raise NotRestorable(f"{path.name}: {error}") from error
    except apsw.Error as error:
        raise translate(error, path) from error
    if not status.applied:
        raise NotRestorable(f"{path.name} is empty: it has no ledger")
    return status


def _open_backup(path: Path) -> apsw.Connection:
    """Read a backup wherever it lies, also in a folder or on a medium that can't be written to."""
    if _wal(path).exists() and _wal(path).stat().st_size:
        # A copy of a running database with its log beside it: that belongs to it.
        return sqlite.connect(path, read_only=True)
    return _open_finished(path)


def _open_finished(path: Path) -> apsw.Connection:
    """Nobody writes this file: it is read without locks, and without files beside it."""
    uri = f"file:{quote(str(path.resolve()))}?immutable=1"
    try:
        return apsw.Connection(uri, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
    except apsw.Error as error:
        raise translate(error, path) from error


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Have the lock file of a `serve`, so that none begins meanwhile."""
    try:
        lock = LockFile(path)
    except Locked as error:
        raise InUse(f"a `farthing serve` has {path.name}; stop it first") from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Have the database to itself, or raise; its log is folded in at the end. A damaged one nobody can use."""
    if not target.exists():
        yield
        return
    try:
        db = apsw.Connection(str(target), flags=apsw.SQLITE_OPEN_READWRITE)
    except apsw.Error as error:
        raise translate(error, target) from error
    with closing(db):
        _claim(db, target)
        yield


def _claim(db: apsw.Connection, target: Path) -> None:
    try:
        db.pragma("locking_mode", "exclusive")
        db.execute("begin exclusive; commit")
    except (apsw.BusyError, apsw.LockedError) as error:
        raise InUse(f"another process has {target.name} open; stop it first") from error
    except (apsw.NotADBError, apsw.CorruptError):
        pass  # It is to be replaced just for that, and is kept aside as it is.
    except apsw.Error as error:
        raise translate(error, target) from error


# Copying


def _copy(source: apsw.Connection, target: Path, on_progress: Progress) -> Copied:
    """Copy one snapshot, and hold the copy against it."""
    try:
        # The open transaction is what keeps the snapshot: without it each commit of a writer restarts the copy.
        source.execute("begin")
        expected = source.execute("select (select count(*) from entry), (select count(*) from account)").get
        _copy_pages(source, target, on_progress)
        source.execute("rollback")
        with closing(_open_finished(target)) as made:
            (said,) = made.execute("pragma quick_check(1)").fetchall()[0]
            found = made.execute("select (select count(*) from entry), (select count(*) from account)").get
    except apsw.Error as error:
        raise translate(error, target) from error
    if said != "ok":
        raise BackupError(f"the copy is damaged, and so must be what it was made of: {said}")
    if found != expected:
        told = "the copy and its source differ: of entries {}, not {}; of accounts {}, not {}"
        raise BackupError(told.format(found[0], expected[0], found[1], expected[1]))
    return Copied(str(target), target.stat().st_size, found[0], found[1], 0)


def _copy_pages(source: apsw.Connection, target: Path, on_progress: Progress) -> None:
    with closing(apsw.Connection(str(target), flags=apsw.SQLITE_OPEN_READWRITE)) as made:
        # Nobody sees it before it is whole, and it is brought to the disk by then.
        made.execute("pragma journal_mode = off; pragma synchronous = off")
        with made.backup("main", source, "main") as copying:
            while not copying.done:
                copying.step(PAGES_AT_ONCE)
                on_progress(copying.page_count - copying.remaining, copying.page_count)


# Files


def _wal(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _drop_companions(path: Path) -> None:
    for ending in ("-wal", "-shm", "-journal"):
        path.with_name(path.name + ending).unlink(missing_ok=True)


@contextmanager
def _growing(target: Path) -> Iterator[Path]:
    """A file beside the target, for its owner only, that goes when it did not take the target's place."""
    path = target.with_name(f".{target.name}.{secrets.token_hex(4)}.growing")
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError as error:
        raise BackupError(f"{target.parent} can't be written to: {error.strerror}") from error
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
        _drop_companions(path)


def _give_rights(path: Path, model: Path) -> None:
    """Rights as another file's; and its owner, where the superuser does what a service is to read."""
    like = model.stat()
    path.chmod(like.st_mode & 0o777)
    if os.geteuid() == 0:
        os.chown(path, like.st_uid, like.st_gid)


def _settle(made: Path, target: Path, replace: bool) -> None:
    """Bring a file to the disk and give it its name."""
    _sync(made)
    if replace:
        os.replace(made, target)
    else:
        try:
            # Unlike a rename this does not take the place of a file that has come meanwhile.
            os.link(made, target)
        except FileExistsError as error:
            raise TargetExists(f"there is a file {target} already") from error
        except OSError:
            # A file system without second names; that nothing was there has been looked at before.
            os.rename(made, target)
    _sync(target.parent)


def _put_aside(target: Path) -> str | None:
    """Rename a database, and what belongs to it, to the first `<name>.before-restore` that is free."""
    if not target.exists() and not _wal(target).exists():
        return None
    count = 1
    aside = target.with_name(f"{target.name}.before-restore")
    # A log that was left behind alone belongs to the database that was put aside without one.
    while _wal(aside).exists() or (aside.exists() and target.exists()):
        count += 1
        aside = target.with_name(f"{target.name}.before-restore-{count}")
    # A log without its database is as bad for the one to come: SQLite would read it.
    for old, new in ((target, aside), (_wal(target), _wal(aside))):
        if old.exists():
            os.rename(old, new)
    _drop_companions(target)
    _sync(target.parent)
    return str(aside)


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
