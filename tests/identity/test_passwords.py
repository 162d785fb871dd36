"""Passwords: what they may be, how they are hashed, and that nobody waits for it."""

import asyncio

import bcrypt
import pytest
from argon2 import PasswordHasher, Type, extract_parameters

from farthing.identity import passwords
from farthing.identity.forms import email_error, password_error, username_error
from farthing.identity.passwords import Checked, Crowded, Passwords
from tests.api.login.visitors import CHEAP


@pytest.fixture
def cheap():
    made = Passwords(CHEAP)
    yield made
    made.close()


def test_a_hash_is_argon2id_as_rfc_9106_has_it_for_little_memory():
    found = extract_parameters(Passwords().hash_now("correct horse"))
    assert (found.type, found.time_cost, found.memory_cost, found.parallelism) == (Type.ID, 3, 65_536, 4)


def test_the_same_password_is_right_and_any_other_is_wrong(cheap):
    stored = cheap.hash_now("correct horse")
    assert cheap.check_now(stored, "correct horse") == Checked(True)
    for other in ("correct horse ", "Correct horse", "", "x" * 2_000, "correct\0horse"):
        assert cheap.check_now(stored, other) == Checked(False)
    assert stored != cheap.hash_now("correct horse")


def test_one_password_typed_on_two_keyboards_is_one(cheap):
    assert cheap.check_now(cheap.hash_now("caf\u00e9 cr\u00e8me"), "cafe\u0301 cre\u0300me").right


def test_half_a_character_is_a_wrong_password_and_no_error(cheap):
    assert cheap.check_now(cheap.hash_now("correct horse"), "\ud800") == Checked(False)


def test_a_hash_of_other_parameters_is_outdated(cheap):
    stored = PasswordHasher(time_cost=1, memory_cost=512, parallelism=1).hash("correct horse")
    assert cheap.check_now(stored, "correct horse") == Checked(True, outdated=True)
    assert cheap.check_now(stored, "wrong horse") == Checked(False)


@pytest.mark.parametrize("prefix", ["$2a$", "$2b$", "$2y$"])
def test_a_bcrypt_hash_is_compared_with_the_text_as_it_was_sent(cheap, prefix):
    stored = bcrypt.hashpw(b"cafe\xcc\x81 creme", bcrypt.gensalt(4)).decode()
    stored = prefix + stored[4:]
    assert cheap.check_now(stored, "cafe\u0301 creme") == Checked(True, outdated=True)
    assert not cheap.check_now(stored, "caf\u00e9 creme").right


def test_a_bcrypt_hash_knows_72_bytes_as_older_systems_did(cheap):
    stored = bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)).decode()
    assert cheap.check_now(stored, "x" * 100).right
    assert not cheap.check_now(stored, "x" * 71).right


@pytest.mark.parametrize("stored", ["", "-", "plain text", "$argon2id$broken", "$2b$broken", "$1$md5"])
def test_what_is_no_hash_has_no_password(cheap, stored):
    for password in ("", "-", "plain text", stored):
        assert not cheap.check_now(stored, password).right


def test_nobody_takes_the_work_of_somebody(cheap, monkeypatch):
    verified = []
    verify = PasswordHasher.verify

    def counted(self, stored, password):
        verified.append(stored[:10])
        return verify(self, stored, password)

    monkeypatch.setattr(PasswordHasher, "verify", counted)
    for stored in (cheap.hash_now("correct horse"), "", "-"):
        cheap.check_now(stored, "wrong horse")
    assert verified == ["$argon2id$"] * 3


def test_two_are_looked_at_at_a_time_and_too_many_are_sent_away(monkeypatch):
    monkeypatch.setattr(passwords, "WAITING", 3)

    async def run():
        made, inside, most = Passwords(CHEAP), 0, 0
        go_on = asyncio.Event()

        async def one():
            nonlocal inside, most
            async with made.turn() as turn:
                inside += 1
                most = max(most, inside)
                await go_on.wait()
                inside -= 1
                return (await turn.check("", "x")).right

        tasks = [asyncio.create_task(one()) for _ in range(5)]
        await asyncio.sleep(0)
        with pytest.raises(Crowded):
            await one()
        go_on.set()
        assert await asyncio.gather(*tasks) == [False] * 5
        assert most == 2
        made.close()

    asyncio.run(run())


def test_a_loop_goes_on_while_it_hashes():
    async def run():
        made, turns = Passwords(), 0
        work = asyncio.gather(*(made.hash("correct horse") for _ in range(4)))
        while not work.done():
            await asyncio.sleep(0.001)
            turns += 1
        made.close()
        return turns

    # Four hashes of real work: were they made on the loop, it would turn once.
    assert asyncio.run(run()) > 4


@pytest.mark.parametrize("text", ["anna", "Anna B", "anna_", "j\u00f6rg", "a-b_c.d", "123", "\u674e\u5c0f\u9f99"])
def test_a_name_that_can_be(text):
    assert username_error(text) is None


@pytest.mark.parametrize("text", ["ab", "x" * 31, "a@b.c", "a/b", "a\nb", " ab", "ab ", "a\u202eb", "\ufb01sh", ".ab"])
def test_a_name_that_can_not_be(text):
    assert username_error(text) is not None


@pytest.mark.parametrize("text", ["a@b.co", "anna.b+tag@sub.example.com", "x" * 64 + "@example.com"])
def test_an_address_that_can_be(text):
    assert email_error(text) is None


@pytest.mark.parametrize(
    "text",
    [
        *("", "@", "a@", "@b.co", "a@b", "a b@c.co", "a..b@c.co", ".a@c.co", "a@b..co", "a@-b.co", "a@b.co\n"),
        *("a@b@c.co", "\u00e4@b.co", "a@b\u00fc.co", "x" * 65 + "@b.co", "a,b@c.co", "<a@b.co>"),
    ],
)
def test_an_address_that_can_not_be(text):
    assert email_error(text) is not None


def test_a_password_has_8_characters_and_at_most_1024_bytes():
    assert password_error("x" * 7) == "must have at least 8 characters"
    assert password_error("x" * 8) is None
    assert password_error("\u00e4" * 512) is None
    assert password_error("\u00e4" * 513) == "must have at most 1,024 bytes"
