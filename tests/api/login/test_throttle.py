"""Who guesses has to wait, by account and by address; and nothing tells who there is."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from farthing.identity.passwords import Passwords
from tests.api.login.visitors import PASSWORD, Visitor, a_name, make_user, signed_in, told
from tests.api.serving import wait_for

BOTH_DATABASES = True


def guess(visitor, name, password="wrong horse"):
    return visitor.post("login", {"username": name, "password": password})


def others(server, number):
    """Visitors from as many addresses."""
    return [Visitor(server) for _ in range(number)]


def test_after_five_wrong_passwords_one_waits_longer_each_time(server):
    user = make_user(server)
    for visitor in others(server, 5):
        assert told(guess(visitor, user.username)) == (401, "Invalid credentials")
    slow = guess(Visitor(server), user.username)
    assert told(slow) == (429, "Too many attempts; try again in 30 s")
    assert slow.headers["retry-after"] == "30"
    server.clock.advance(30)
    assert guess(Visitor(server), user.username).status == 401
    assert guess(Visitor(server), user.username).headers["retry-after"] == "60"
    server.clock.advance(60)
    assert Visitor(server).log_in(user.username).token
    assert guess(Visitor(server), user.username).status == 401


def test_the_right_password_is_told_the_same_while_one_has_to_wait(server):
    user = make_user(server)
    for visitor in others(server, 5):
        guess(visitor, user.username)
    wrong, right = (guess(Visitor(server), user.username, text) for text in ("wrong horse", PASSWORD))
    assert (right.status, right.raw) == (wrong.status, wrong.raw)
    assert right.status == 429


def test_after_a_quarter_of_an_hour_all_is_forgotten(server):
    user = make_user(server)
    for visitor in others(server, 5):
        guess(visitor, user.username)
    server.clock.advance(15 * 60)
    for visitor in others(server, 5):
        assert guess(visitor, user.username).status == 401


def test_a_name_that_nobody_has_is_told_the_same_as_one_that_somebody_has(server):
    user, nobody = make_user(server), a_name()
    answers = [[guess(Visitor(server), name) for _ in range(7)] for name in (user.username, nobody)]
    told_of = [[(answer.status, answer.raw, answer.headers.keys()) for answer in each] for each in answers]
    assert told_of[0] == told_of[1]
    assert [status for status, _, _ in told_of[0]] == [401] * 5 + [429] * 2


@pytest.mark.parametrize("name", ["known", "unverified", "elsewhere", "nobody", "nobody@example.com", "nob\0dy"])
def test_each_name_takes_the_work_of_one_hash(server, monkeypatch, name):
    users = {
        "known": lambda: make_user(server),
        "unverified": lambda: make_user(server, verified=False),
        "elsewhere": lambda: make_user(server, password=""),
    }
    text = users[name]().username if name in users else name
    checked = []
    check = Passwords.check_now

    def counted(self, stored, password):
        checked.append(password)
        return check(self, stored, password)

    monkeypatch.setattr(Passwords, "check_now", counted)
    assert told(guess(Visitor(server), text)) == (401, "Invalid credentials")
    assert checked == ["wrong horse"]


def test_many_guesses_at_once_are_no_better_than_one_after_another(server):
    user = make_user(server)
    visitors = others(server, 20)
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda visitor: guess(visitor, user.username), visitors))
    assert sorted(answer.status for answer in answers) == [401] * 5 + [429] * 15


def test_many_right_passwords_at_once_all_get_in(server):
    user = make_user(server)
    visitors = others(server, 12)
    with ThreadPoolExecutor(12) as pool:
        assert all(visitor.token for visitor in pool.map(lambda visitor: visitor.log_in(user.username), visitors))


def test_an_address_that_guesses_at_many_names_has_to_wait(server, visitor):
    user = make_user(server)
    for _ in range(30):
        assert guess(visitor, a_name()).status == 401
    assert guess(visitor, user.username, PASSWORD).status == 429
    assert Visitor(server).log_in(user.username).token


def test_who_gets_in_is_not_counted_against_his_address(server, visitor):
    user = make_user(server)
    for _ in range(29):
        guess(visitor, a_name())
    assert visitor.log_in(user.username).log_in(user.username).token
    assert guess(visitor, a_name()).status == 401
    assert guess(visitor, a_name()).status == 429


def test_a_client_can_not_choose_its_own_address(server):
    user = make_user(server)
    visitor = Visitor(server)
    for number in range(30):
        # The proxy adds who asked it; what stood there before is what the client wrote.
        forged = {"X-Forwarded-For": f"192.0.2.{number}, {visitor.address}"}
        answer = visitor.post("login", {"username": a_name(), "password": "x"}, **forged)
        assert answer.status == 401
    assert guess(visitor, user.username, PASSWORD).status == 429


def test_codes_are_not_to_be_guessed(server, visitor):
    for _ in range(10):
        assert told(visitor.post("verify-email", {"token": "AAAAAA"})) == (400, "Email verification failed")
    assert visitor.post("verify-email", {"token": "AAAAAA"}).status == 429
    assert Visitor(server).post("verify-email", {"token": "AAAAAA"}).status == 400


def test_reset_tokens_are_not_to_be_guessed(server, visitor):
    wrong = {"token": "x", "newPassword": "battery staple"}
    for _ in range(30):
        assert visitor.post("reset-password", wrong).status == 400
    assert visitor.post("reset-password", wrong).status == 429


def test_nobody_is_flooded_with_mail(server):
    user, nobody = make_user(server), f"{a_name()}@example.com"
    for email in (user.email, nobody):
        statuses = [each.post("forgot-password", {"email": email}).status for each in others(server, 6)]
        assert statuses == [200] * 5 + [429]
        assert Visitor(server).post("resend-verification", {"email": email.upper()}).status == 429


def test_an_address_signs_up_only_so_many(server, visitor):
    wrong = {"username": "a b", "email": "x@example.com", "password": PASSWORD}
    taken = make_user(server)
    for _ in range(20):
        answer = visitor.post("signup", wrong | {"username": taken.username})
        assert told(answer) == (400, "Username already exists")
    assert visitor.post("signup", wrong | {"username": a_name()}).status == 429


def test_what_failed_is_kept_without_names_and_not_for_long(server):
    user = make_user(server)
    guess(Visitor(server), user.username)
    kept = [bytes(subject) for (subject,) in server.sql("select subject from login_failure")]
    assert kept
    assert all(len(subject) == 32 and user.username.encode() not in subject for subject in kept)
    server.clock.advance(25 * 3600)
    guess(Visitor(server), a_name())
    assert server.sql("select count(*) from login_failure") == [(2,)]


def test_while_a_hundred_wait_for_their_passwords_to_be_looked_at_all_else_goes_on(server, monkeypatch):
    users = [make_user(server) for _ in range(25)]
    visitors = [(visitor, users[number % 25]) for number, visitor in enumerate(others(server, 100))]
    go_on, check = threading.Event(), Passwords.check_now
    looked_at = []

    def held_up(self, stored, password):
        looked_at.append(password)
        assert go_on.wait(60)
        return check(self, stored, password)

    monkeypatch.setattr(Passwords, "check_now", held_up)
    with ThreadPoolExecutor(100) as pool:
        waiting = [pool.submit(guess, visitor, user.username, PASSWORD) for visitor, user in visitors]
        wait_for(lambda: len(looked_at) == 2)
        server.add("busy", 10)
        body = {"account_id": "busy", "amount": 1, "operation": "chat", "usage_event_id": a_name()}
        assert server.post("deduct", body).status == 200
        assert server.send("GET", "/livez").status == 200
        assert not any(each.done() for each in waiting)
        go_on.set()
        assert [each.result().status for each in waiting] == [200] * 100


def test_sessions_of_a_user_end_in_the_database_where_other_processes_see_it(server):
    visitor, user = signed_in(server)
    visitor.post("logout")
    assert server.sql("select ended_by from login_session where user_id = ?", user.id) == [("logout",)]
    ((version,),) = server.sql("select value from config where name = 'people'")
    assert int(version) > 1
