"""Old entries move to archive files: what is left goes on as before, and doctor follows through both."""

import gzip
import json
import os
import random
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from farthing.core.commands import MINUTE_US, GiveGrant, PlaceHold, Refund, Settle, TakeBack, TakeCharge, Void
from farthing.core.context import Context
from farthing.core.decide import content_mark
from farthing.core.ids import bucket_of
from farthing.core.outcomes import Accepted, Outcome, Refusal, Refused
from farthing.core.records import Entry, KeptKey
from farthing.doctor import examine
from farthing.jobs.folding import fold_all
from farthing.rebuild import rebuild
from farthing.retention import retiring
from farthing.retention.archive import Archive, ArchiveError, Header, Line, Writer, archives_in
from farthing.retention.retiring import NoFolder, Wanted, retire_all
from farthing.stores import sqlite
from farthing.stores.access import Act
from farthing.stores.contract import result_of
from farthing.stores.doctor_postgres import PostgresSource
from farthing.stores.doctor_sqlite import SqliteSource
from farthing.stores.postgres_sync import SyncConnection
from farthing.stores.purchases import Purchases
from farthing.stores.rollups import Rollups
from farthing.stores.sqlite import SqliteDatabase
from tests.random_ledger import RandomCommands, empty_ledger
from tests.random_ledger import Writer as RandomWriter
from tests.retention.aging import MAIN, Aging, sound
from tests.support import USED


def entry_of(outcome: Outcome) -> Entry:
    assert isinstance(outcome, Accepted), outcome
    assert outcome.entry is not None
    return outcome.entry


def refusal_of(outcome: Outcome) -> Refusal:
    assert isinstance(outcome, Refused), outcome
    return outcome.code


def told(entry: Entry) -> dict[str, Any]:
    """What an answer may be written from."""
    return {name: getattr(entry, name) for name in entry.__struct_fields__ if name not in ("hash", "metadata")}


def use(aging: Aging, account: str = "alice") -> None:
    """A few acts of every sort, the last of which stays on the table of a SQLite file."""
    shop = aging.shop
    shop.grant(account, 1_000, key="g1", category="promotional")
    shop.grant(account, 500, key="g2", claim=("stripe", f"pi_{account}"))
    shop.charge(account, 100, key="c1", description="first", operation="chat")
    hold = shop.hold(account, 50, key="h1")
    shop.do(Settle(workspace="main", account=account, hold=hold, amount=20, key="s1"))
    aging.wait_days(1)
    shop.charge(account, 10, key="c2")
    shop.do(Refund(workspace="main", account=account, amount=5, key="r1"))
    aging.wait_days(60)
    shop.charge(account, 1, key="c3")


# What goes, and what goes on


def test_old_entries_go_and_doctor_follows_with_and_without_the_file(aging: Aging) -> None:
    use(aging)
    before = aging.shop.wait(aging.shop.ledger.reports.account("main", "alice", aging.shop.now))
    done = aging.retire()
    assert (done.accounts, done.entries, done.left) == (1, 8, [])
    assert aging.rows("select number from entry") == [(9,)]
    assert aging.shop.wait(aging.shop.ledger.reports.account("main", "alice", aging.shop.now)) == before
    assert sound(aging.doctor(archives=False))
    through = aging.doctor()
    assert sound(through)
    assert (through.entries, through.archived) == (1, 8)


def test_numbers_and_hashes_go_on_and_the_next_run_goes_on_with_the_rest(local: Aging) -> None:
    use(local)
    local.retire()
    assert local.shop.charge("alice", 2, key="c4").number == 10
    local.wait_days(60)
    local.shop.charge("alice", 3, key="c5")
    assert local.retire().entries == 2
    assert local.rows("select number from entry") == [(11,)]
    assert len(local.files) == 2
    assert sound(local.doctor())
    lines = [line for file in local.files for line in Archive(file).lines() if isinstance(line, Line)]
    assert [line.entry.number for line in lines] == list(range(1, 11))


def test_a_second_run_finds_nothing_to_do(local: Aging) -> None:
    use(local)
    local.retire()
    again = local.retire()
    assert (again.entries, again.file, len(local.files)) == (0, "", 1)


def test_a_dry_run_counts_and_leaves_everything(local: Aging) -> None:
    use(local)
    assert local.retire(dry_run=True).entries == 8
    assert (local.files, len(local.rows("select 1 from entry"))) == ([], 9)


def test_what_reports_have_not_summed_up_stays(aging: Aging) -> None:
    use(aging)
    assert aging.retire(fold=False).entries == 0


def test_only_workspaces_that_say_so_are_archived_and_only_what_is_older(local: Aging) -> None:
    use(local)
    local.fold()
    access, wanted = local.shop.ledger.access, Wanted(local.folder, local.shop.now, gentle=0)
    assert retire_all(local.place, wanted) == []
    local.shop.wait(access.change_settings("main", {"retention_days": 61}, _act(local)))
    assert [done.entries for done in retire_all(local.place, wanted)] == [0]
    local.shop.wait(access.change_settings("main", {"retention_days": 60}, _act(local)))
    assert [(done.workspace, done.entries) for done in retire_all(local.place, wanted)] == [("main", 6)]


def _act(aging: Aging) -> Any:
    return Act("tester", aging.shop.now)


def test_without_a_folder_nothing_goes_and_it_says_what_to_set(local: Aging) -> None:
    use(local)
    local.fold()
    with pytest.raises(NoFolder, match="FARTHING_ARCHIVE_DIR"):
        retire_all(local.place, Wanted(None, local.shop.now, "main", local.shop.now, gentle=0))
    assert len(local.rows("select 1 from entry")) == 9


def test_live_holds_and_what_is_owed_are_carried(aging: Aging) -> None:
    shop = aging.shop
    shop.grant("alice", 100, key="g")
    hold = shop.hold("alice", 40, ttl=40_000 * MINUTE_US)
    owed = shop.charge("alice", 90, shortfall="debt", key="c")
    aging.wait_days(20)
    shop.charge("alice", 5, shortfall="debt")
    assert aging.retire(10).entries == 4
    assert sound(aging.doctor())
    settled = shop.do(Settle(**MAIN, hold=hold, amount=30))
    shop.grant("alice", 1_000)
    assert (settled.number, sound(aging.doctor())) == (6, True)
    aging.wait_days(20)
    shop.charge("alice", 1)
    aging.retire(10)
    assert sound(aging.doctor())
    assert refusal_of(aging.ask(Refund(**MAIN, charge=owed.id))) is Refusal.CHARGE_ARCHIVED


# Keys


def test_a_key_of_an_archived_entry_gives_the_first_answer_again(aging: Aging) -> None:
    first = {}
    commands = {
        "g": lambda: GiveGrant(**MAIN, amount=100, key="g", source={"order": "1"}, description="thanks"),
        "c": lambda: TakeCharge(**MAIN, amount=7, key="c", operation="chat", description="a chat", metadata='{"a":1}'),
        "v1:c": lambda: TakeCharge(**MAIN, amount=8, key="v1:c", metadata='{"b":2}'),
        "h": lambda: PlaceHold(**MAIN, amount=9, ttl=MINUTE_US, key="h"),
    }
    for key, make in commands.items():
        first[key] = entry_of(aging.ask(make()))
    aging.wait_days(60)
    aging.shop.charge("alice", 1)
    assert aging.retire().entries == 6  # the hold's end as well
    for key, make in commands.items():
        again = aging.ask(make())
        assert isinstance(again, Accepted)
        assert again.replayed
        assert told(entry_of(again)) == told(first[key])
    assert entry_of(aging.ask(commands["v1:c"]())).metadata == '{"b":2}'
    assert refusal_of(aging.ask(TakeCharge(**MAIN, amount=70, key="c", operation="chat"))) is Refusal.KEY_CONFLICT
    assert len(aging.rows("select 1 from entry")) == 1
    assert sound(aging.doctor())


def test_what_providers_said_goes_once_it_is_done_and_old_and_is_known_again_all_the_same(aging: Aging) -> None:
    purchases, wait, began = Purchases(aging.shop.ledger.database), aging.shop.wait, aging.shop.now
    for id, outcome in (("old", "credited to alice"), ("strange", "unmatched: of another merchant"), ("open", "")):
        wait(purchases.received("main", "stripe", id, "invoice.paid", f"{{{id}}}", began, began))
        if outcome:
            wait(purchases.done("main", "stripe", id, outcome, began))
    aging.wait_days(40)
    wait(purchases.received("main", "stripe", "new", "invoice.paid", "{new}", aging.shop.now, aging.shop.now))
    wait(purchases.done("main", "stripe", "new", "credited to alice", aging.shop.now))
    assert aging.retire(dry_run=True).messages == 1
    assert (aging.retire().messages, aging.retire().messages) == (1, 0)
    events = {event.id: event for event in wait(purchases.events("main")).items}
    assert {id for id, event in events.items() if not event.body} == {"old"}
    kept = events["old"]
    assert (kept.kind, kept.outcome) == ("invoice.paid", "credited to alice")
    assert (kept.received_at, kept.done_at) == (began, began)
    again = wait(purchases.received("main", "stripe", "old", "invoice.paid", "{old}", aging.shop.now, aging.shop.now))
    assert (again.done_at, again.times) == (began, 2)
    assert sound(aging.doctor())


def test_a_refusal_that_was_recorded_is_told_again(local: Aging) -> None:
    local.shop.grant("alice", 1)
    ask = lambda: TakeCharge(**MAIN, amount=7, key="c", final=True)  # noqa: E731
    assert refusal_of(local.ask(ask())) is Refusal.INSUFFICIENT_CREDITS
    local.wait_days(60)
    local.shop.grant("alice", 100)
    local.retire()
    again = local.ask(ask())
    assert (refusal_of(again), isinstance(again, Refused) and again.replayed) == (Refusal.INSUFFICIENT_CREDITS, True)


def test_a_payment_of_an_archived_grant_is_not_credited_again(aging: Aging) -> None:
    pay = lambda: GiveGrant(**MAIN, amount=100, claim=("stripe", "pi_9"))  # noqa: E731
    first = entry_of(aging.ask(pay()))
    aging.wait_days(60)
    aging.shop.charge("alice", 1)
    assert aging.retire().entries == 2
    again = aging.ask(pay())
    assert isinstance(again, Accepted)
    assert (again.replayed, entry_of(again).id, entry_of(again).body) == (True, first.id, first.body)
    other = GiveGrant(workspace="main", account="bob", amount=100, claim=("stripe", "pi_9"))
    assert refusal_of(aging.ask(other)) is Refusal.PAYMENT_CLAIMED
    assert sound(aging.doctor())


# What can't be done any more


def test_an_archived_charge_is_refused_by_name_and_the_latest_end_there(aging: Aging) -> None:
    aging.shop.grant("alice", 100)
    old = aging.shop.charge("alice", 30)
    aging.wait_days(60)
    new = aging.shop.charge("alice", 10)
    aging.shop.charge("alice", 2)
    aging.retire()
    assert refusal_of(aging.ask(Refund(**MAIN, charge=old.id))) is Refusal.CHARGE_ARCHIVED
    never = old.id[:-5] + "0" + old.id[-4:] if old.id[-5] != "0" else old.id[:-5] + "1" + old.id[-4:]
    assert refusal_of(aging.ask(Refund(**MAIN, charge=never))) is Refusal.CHARGE_ARCHIVED
    too_much = aging.ask(Refund(**MAIN, amount=13))
    assert isinstance(too_much, Refused)
    assert (too_much.code, too_much.facts) == (Refusal.REFUND_TOO_LARGE, {"refundable": 12})
    assert entry_of(aging.ask(Refund(**MAIN, charge=new.id))).amount == 10
    assert sound(aging.doctor())


def test_a_grant_that_was_used_up_is_refused_by_name_and_one_that_was_paid_for_is_not(aging: Aging) -> None:
    given = aging.shop.grant("alice", 100, category="promotional")
    paid = aging.shop.grant("alice", 100)
    aging.shop.charge("alice", 190)
    aging.wait_days(60)
    aging.shop.charge("alice", 10)
    aging.shop.grant("alice", 5)
    aging.retire()
    assert refusal_of(aging.ask(Void(**MAIN, grant="grt" + given.id[3:]))) is Refusal.GRANT_ARCHIVED
    assert entry_of(aging.ask(Void(**MAIN, grant="grt" + paid.id[3:]))).debt == 100
    assert sound(aging.doctor())


def test_what_was_bought_goes_back_with_its_payment_whatever_it_counts_as(local: Aging) -> None:
    given = local.shop.grant("alice", 100, category="promotional", source={"provider": "stripe", "payment": "pi_1"})
    local.shop.charge("alice", 100)
    local.wait_days(60)
    local.shop.grant("alice", 1)
    assert local.retire().entries == 3
    grant = "grt" + given.id[3:]
    assert entry_of(local.ask(TakeBack(**MAIN, grant=grant, total=40))).debt == 40
    assert sound(local.doctor())
    local.wait_days(800)
    local.shop.grant("alice", 100)
    local.retire()
    assert refusal_of(local.ask(TakeBack(**MAIN, grant=grant, total=50))) is Refusal.GRANT_ARCHIVED
    assert sound(local.doctor())


def test_a_hold_that_ended_long_ago_takes_nothing_late(aging: Aging) -> None:
    aging.shop.grant("alice", 100)
    hold = aging.shop.hold("alice", 10)
    aging.wait_days(60)
    aging.shop.charge("alice", 1)
    aging.retire()
    late = aging.ask(Settle(**MAIN, hold=hold, amount=5, late="charge"))
    assert refusal_of(late) is Refusal.HOLD_ENDED
    assert sound(aging.doctor())


def test_a_charge_that_is_given_back_later_keeps_its_entry_until_that_is_archived_too(local: Aging) -> None:
    local.shop.grant("alice", 100, category="promotional")
    charge = local.shop.charge("alice", 100, operation="chat")
    local.wait_days(60)
    local.shop.do(Refund(**MAIN, charge=charge.id, amount=60))
    local.shop.charge("alice", 1)
    local.retire()
    assert [row[0] for row in local.rows("select number from entry order by number")] == [3, 4, 5]
    assert sound(local.doctor())
    listed = local.shop.wait(local.shop.directory.entries("main", "alice"))
    assert [entry.number for entry in listed.items] == [5, 4]
    assert refusal_of(local.ask(Refund(**MAIN, charge=charge.id))) is Refusal.CHARGE_ARCHIVED
    local.wait_days(60)
    local.shop.charge("alice", 1)
    local.retire()
    assert [row[0] for row in local.rows("select number from entry order by number")] == [6]
    assert sound(local.doctor())


# Runs that end early, and those that meet


def test_a_run_that_is_killed_after_its_file_loses_nothing_and_the_next_one_goes_on(
    local: Aging, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(local)
    use(local, "bob")
    with monkeypatch.context() as broken:
        broken.setattr(retiring._Retiring, "_let_go", _die)
        with pytest.raises(KeyboardInterrupt):
            local.retire()
    assert (len(local.files), len(local.rows("select 1 from entry"))) == (1, 18)
    assert sound(local.doctor())
    local.wait_days(1)
    done = local.retire()
    assert (done.accounts, len(local.files)) == (2, 2)
    assert sound(local.doctor())


def _die(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_run_that_is_killed_between_two_accounts_goes_on_with_the_other(
    local: Aging, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(local)
    use(local, "bob")
    retire = retiring._Retiring._retire
    count = iter(range(9))

    def once(self: Any, *args: Any) -> str | None:
        if next(count):
            raise KeyboardInterrupt
        return retire(self, *args)

    with monkeypatch.context() as broken:
        broken.setattr(retiring._Retiring, "_retire", once)
        with pytest.raises(KeyboardInterrupt):
            local.retire()
    assert local.rows("select account from checkpoint") == [("alice",)]
    assert sound(local.doctor())
    assert local.retire().accounts == 1
    assert sound(local.doctor())


def test_a_run_that_is_killed_while_it_writes_leaves_no_file_that_could_pass_for_one(
    local: Aging, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(local)
    with monkeypatch.context() as broken:
        broken.setattr(Writer, "close", _die)
        with pytest.raises(KeyboardInterrupt):
            local.retire()
    assert (local.files, list(local.folder.glob("*.part"))) == ([], [])
    assert sound(local.doctor())


def test_what_a_killed_run_left_unfinished_is_swept_up_and_what_is_being_written_is_not(local: Aging) -> None:
    use(local)
    local.folder.mkdir()
    old, fresh = local.folder / "old.jsonl.gz.part", local.folder / "fresh.jsonl.gz.part"
    old.touch()
    fresh.touch()
    other = Writer(local.folder, Header("main", "r", 1, 1), "slow.jsonl.gz")
    (slow,) = local.folder.glob("slow*")
    for each in (old, slow):
        os.utime(each, (1, 1))
    local.retire()
    assert (old.exists(), fresh.exists(), slow.exists()) == (False, True, True)
    other.abandon()
    assert sound(local.doctor())


def test_an_account_whose_old_charge_is_given_back_meanwhile_is_left_for_the_next_run(
    aging: Aging, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(aging)
    charge = aging.shop.wait(aging.shop.directory.entries("main", "alice", kinds=("charge",))).items[-1]
    let_go = retiring._Retiring._let_go

    def meanwhile(self: Any, archive: Archive) -> None:
        aging.shop.do(Refund(**MAIN, charge=charge.id, amount=1))
        let_go(self, archive)

    with monkeypatch.context() as meeting:
        meeting.setattr(retiring._Retiring, "_let_go", meanwhile)
        done = aging.retire()
    assert (done.entries, done.skipped) == (0, 1)
    assert len(aging.rows("select 1 from entry")) == 10
    assert aging.retire().entries == 8
    assert sound(aging.doctor())


def test_two_runs_that_meet_archive_each_account_once(aging: Aging, monkeypatch: pytest.MonkeyPatch) -> None:
    use(aging)
    let_go = retiring._Retiring._let_go

    def meanwhile(self: Any, archive: Archive) -> None:
        with monkeypatch.context() as other:
            other.setattr(retiring._Retiring, "_let_go", let_go)
            assert aging.retire().entries == 8
        let_go(self, archive)

    with monkeypatch.context() as meeting:
        meeting.setattr(retiring._Retiring, "_let_go", meanwhile)
        done = aging.retire()
    assert (done.entries, done.skipped) == (0, 1)
    assert sound(aging.doctor())


def test_an_account_whose_books_are_wrong_is_left_as_it_is(local: Aging) -> None:
    use(local)
    _tamper(local, "update entry set balance = balance + 1 where number = 3")
    done = local.retire()
    assert (done.entries, done.skipped, local.files) == (0, 1, [])
    assert "not sound" in done.left[0][1]


def _tamper(aging: Aging, sql: str) -> None:
    """What somebody could do who owns the database."""
    if isinstance(aging.place, str):
        aging.run(f"set local session_replication_role = replica; {sql}")
    else:
        for trigger in ("entry_no_update", "checkpoint_no_update", "kept_key_no_update"):
            aging.run(f"drop trigger if exists {trigger}")
        aging.run(sql)


# What is found


def _findings(aging: Aging, *, archives: bool = True) -> str:
    # Of triggers that a test has dropped doctor speaks as well.
    return " | ".join(f.sentence for f in aging.doctor(archives=archives).findings if "trigger" not in f.sentence)


def test_rows_of_archived_entries_that_were_changed_are_found_from_the_checkpoint(aging: Aging) -> None:
    use(aging)
    aging.retire()
    for sql, said in (
        ("update grants set gone = gone + 1", "grant"),
        (
            "update hold set terms = replace(terms, '\"settled\":20', '\"settled\":21')",
            "a row was changed among the 1 holds",
        ),
        ("delete from hold", "the number of holds of its archived entries is 0, and should be 1"),
        ("update account set balance = balance + 1", "balance of the account's row"),
    ):
        _tamper(aging, sql)
        assert said in _findings(aging, archives=False)


def test_a_checkpoint_that_was_changed_is_found_through_the_archive(local: Aging) -> None:
    use(local)
    local.retire()
    _tamper(local, "update checkpoint set state = replace(state, '\"earned\":1500', '\"earned\":1600')")
    assert "its checkpoint: earned of the account's row is 1600, and should be 1500" in _findings(local)


def test_an_answer_that_was_changed_is_found_through_the_archive(local: Aging) -> None:
    use(local)
    local.retire()
    _tamper(local, "update kept_key set answer = replace(answer, '-100', '-1') where key = 'c1'")
    assert "what is kept for the key of entry 4 is not what the archive says" in _findings(local)


def test_an_archive_that_is_missing_cut_off_or_changed_is_found(local: Aging) -> None:
    use(local)
    local.retire()
    (file,) = local.files
    lines = gzip.decompress(file.read_bytes()).splitlines(keepends=True)
    for damaged, said in (
        (b"".join(lines[:-1]), "was cut off"),
        (b"".join([*lines[:-1], lines[-1][:5]]), "is cut off or damaged"),
        (b"".join([lines[0], lines[2], *lines[3:]]), "was changed"),
        (b"".join(lines).replace(b'"chat"', b'"chit"'), "was changed"),
        (b"{}\n", "is cut off or damaged"),
        (b"", "is no archive"),
    ):
        file.write_bytes(gzip.compress(damaged))
        assert said in _findings(local)
    whole = gzip.compress(b"".join(lines))
    file.write_bytes(whole[: len(whole) // 2])
    assert "damaged" in _findings(local)
    file.unlink()
    other = local.folder / "other.jsonl.gz"
    other.write_bytes(gzip.compress(b"".join(lines).replace(b"alice", b"carol")))
    assert "was changed" in _findings(local)


def test_an_archive_that_was_changed_with_its_trailer_is_found_by_the_chain(local: Aging) -> None:
    use(local)
    local.retire()
    (file,) = local.files
    archive = Archive(file)
    written = Writer(local.folder, archive.header, "forged.jsonl.gz")
    for line in archive.lines():
        if isinstance(line, Line) and line.entry.number == 4:
            line.entry.description = "another"
        written.add(line)
    forged = written.close()
    forged.replace(file)
    Archive(file).verify()
    assert "entry 4: its hash (it or the entry before it was edited)" in _findings(local)


def test_an_archive_that_lacks_entries_says_which(local: Aging) -> None:
    use(local)
    local.retire()
    local.wait_days(60)
    local.shop.charge("alice", 1)
    local.retire()
    first, second = local.files
    assert "entries 9 to 9 are in none of these files" in " ".join(
        f.sentence for f in examine(local.place, archives=[first]).findings
    )
    assert "entries 1 to 8 are missing before it" in " ".join(
        f.sentence for f in examine(local.place, archives=[second]).findings
    )


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    for content in (b"", b"hello\n", gzip.compress(b'{"line":"end"}\n')):
        (tmp_path / "x.jsonl.gz").write_bytes(content)
        with pytest.raises(ArchiveError):
            Archive(tmp_path / "x.jsonl.gz")
    head = {"line": "archive", "workspace": "w", "run": "r", "made_at": 1, "before": 1, "format": 2}
    (tmp_path / "x.jsonl.gz").write_bytes(gzip.compress(json.dumps(head).encode()))
    with pytest.raises(ArchiveError, match="form 2"):
        Archive(tmp_path / "x.jsonl.gz")


# The one way


def test_nobody_changes_anything_without_the_flag(aging: Aging) -> None:
    use(aging)
    aging.shop.do(_usage())
    aging.retire()
    for sql in (
        "delete from entry",
        "update entry set description = null",
        "delete from usage",
        "update kept_key set answer = ''",
        "delete from kept_key",
        "delete from checkpoint",
        "update checkpoint set number = 1",
        "update audit set detail = '{}'",
    ):
        with pytest.raises(Exception, match=r"never|only move on|kept for ever"):
            aging.run(sql)


def _usage() -> TakeCharge:
    return TakeCharge(**MAIN, amount=1, usage=USED)


def test_the_flag_ends_with_its_transaction_and_allows_no_more_than_it_says(aging: Aging) -> None:
    use(aging)
    flag = "select farthing_retire()" if isinstance(aging.place, str) else "insert into retiring values (1)"
    for sql in ("update entry set balance = 0", "update entry set description = 'x'", "delete from key"):
        with pytest.raises(Exception, match=r"never|kept for ever"):
            aging.run(f"begin; {flag}; {sql}" if not isinstance(aging.place, str) else f"{flag}; {sql}")
    aging.retire()
    assert aging.rows("select count(*) from retiring") == [(0,)]


# Rebuilding


def test_rows_are_rebuilt_from_the_checkpoint(local: Aging) -> None:
    use(local)
    local.retire()
    _tamper(local, "update account set balance = 7, grants = '[]'")
    found = rebuild(local.place, "main", "alice", apply=True, actor="tester", at=1)
    assert (found.applied, found.broken, found.lasting) == (True, [], [])
    assert _findings(local) == ""


# Anything


@pytest.mark.parametrize("seed", range(3))
def test_ledgers_of_random_commands_that_are_archived_again_and_again_stay_sound(tmp_path: Path, seed: int) -> None:
    path = empty_ledger(tmp_path / "ledger.db")
    writer, choose = RandomWriter(path), random.Random(seed)
    made = RandomCommands(seed, writer.clock)
    for _ in range(6):
        writer.run(made.commands(choose.randint(20, 60)), choose.choice([1, 4, 32]))
        db = SqliteDatabase(sqlite.connect(path))
        result_of(fold_all(Rollups(db), writer.clock.now_us()))
        result_of(db.close())
        before = writer.clock.now_us() - choose.choice([0, 1, 1_000, 10_000_000, 3_600_000_000])
        retire_all(path, Wanted(tmp_path / "archive", writer.clock.now_us(), before=before, gentle=0))
        assert sound(examine(path, archives=archives_in(tmp_path / "archive")))


# Keys of other systems


def test_a_key_that_rides_in_a_commit_is_spent_and_answers_as_it_is_told_to(aging: Aging) -> None:
    spent = TakeCharge(**MAIN, amount=5, key="cw.deduct:old", operation="chat")
    told_then = Entry(
        "main", "alice", bucket_of("main", "alice"), 0, "ent_" + "1" * 32, "charge", -5, 95, 0, 0, 1_000, None, None,
        "import", "", "chat", "then", None, '{"spent":5}', 1, b"",
    )  # fmt: skip
    mark = content_mark(spent, Context(lambda *_: "", lambda *_: (0, 0, 0, 0)))
    kept = KeptKey("main", "cw.deduct:old", "alice", told_then.bucket, mark, told_then)
    entry_of(aging.ask(GiveGrant(**MAIN, amount=95, records=(kept,))))
    again = aging.ask(TakeCharge(**MAIN, amount=5, key="cw.deduct:old", operation="chat"))
    assert isinstance(again, Accepted)
    assert again.replayed
    assert (entry_of(again).id, entry_of(again).balance, entry_of(again).description) == (told_then.id, 95, "then")
    other = TakeCharge(**MAIN, amount=6, key="cw.deduct:old", operation="chat")
    assert refusal_of(aging.ask(other)) is Refusal.KEY_CONFLICT
    assert sound(aging.doctor())
    aging.wait_days(60)
    aging.shop.charge("alice", 1)
    aging.retire()
    assert isinstance(aging.ask(replace_key(spent)), Accepted)
    assert sound(aging.doctor())


def replace_key(command: TakeCharge) -> TakeCharge:
    return TakeCharge(**MAIN, amount=command.amount, key=command.key, operation=command.operation)


# Rights


def test_who_may_delete_but_not_retire_deletes_nothing(postgres_url: str, tmp_path: Path) -> None:
    aging = Aging(postgres_url, tmp_path)
    use(aging)
    aging.run("create role mallory; grant select, update, delete on entry, key, usage, audit to mallory")
    for sql, said in (
        ("delete from entry", "never changed"),
        ("select farthing_retire(); delete from entry", "permission denied"),
        ("create temp table retiring as select txid_current() as txid; delete from entry", "never changed"),
        ("insert into retiring values (txid_current())", "permission denied"),
    ):
        with pytest.raises(Exception, match=said):
            aging.run(f"set local role mallory; {sql}")
    aging.run("drop owned by mallory; drop role mallory")
    aging.close()


def test_a_flag_that_was_left_behind_is_found(local: Aging, postgres_url: str) -> None:
    sources = (SqliteSource(Path(str(local.place)), read_only=True), PostgresSource(postgres_url))
    local.run("insert into retiring values (1)")
    with SyncConnection(postgres_url) as server:
        server.execute("insert into retiring values (1)")
    for source in sources:
        with closing(source):
            assert "the table retiring has a row" in " ".join(islice(source.schema_differences(), 1))
