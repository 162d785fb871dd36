"""What goes wrong on the way: what is sent again, under which key, and what is told in the end. Over real sockets."""

import json
import socket
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, Literal

import pytest

import farthing
from farthing.client import connecting, errors, values
from farthing.client.answers import Answer, read_answer
from farthing.client.calls import post
from farthing.client.errors import ApiError
from farthing.client.results import Balance
from farthing.client.retries import LONGEST_SECONDS, Retries
from tests.api.serving import Server
from tests.client.driving import Place
from tests.client.flaky import Exchange, Flaky, Step, answer, drop, hang, problem, serve, serve_and_cut, serve_and_drop

HTML = b"<html><head><title>502 Bad Gateway</title></head>"


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Literal["sync", "async"]:
    """A kind of client; it does not wait long between its tries."""
    monkeypatch.setattr(connecting, "Retries", lambda most: Retries(most, 0.001))
    found: Literal["sync", "async"] = request.param
    return found


@pytest.fixture
def places() -> Iterator[list[Place]]:
    opened: list[Place] = []
    yield opened
    for place in opened:
        place.close()


@pytest.fixture
def connect(kind: Literal["sync", "async"], places: list[Place]) -> Any:
    """Opens a client of the kind on a URL."""

    def opened(url: str, **options: Any) -> Any:
        places.append(Place(kind, url, **{"api_key": "cs_live_any", **options}))
        return places[-1].open()

    return opened


@pytest.fixture
def funded(server: Server, account: str) -> str:
    """An account with 100 credits on the real server."""
    with farthing.connect(f"http://127.0.0.1:{server.port}", api_key=server.new_key("admin")) as client:
        client.grant(account, 100)
    return account


def through(flaky: Flaky, server: Server, connect: Any, **options: Any) -> Any:
    return connect(flaky.url, api_key=server.new_key("admin"), **options)


# It was done, and nobody was told


@pytest.mark.parametrize("first", [serve_and_drop, serve_and_cut])
def test_an_answer_that_is_lost_is_asked_for_again_and_charged_once(
    server: Server, funded: str, connect: Any, first: Any
) -> None:
    with Flaky([first, serve], server.port) as flaky:
        client = through(flaky, server, connect)
        charge = client.charge(funded, 5)
        assert charge.replayed is True
        assert charge.after.balance == 95
        keys = [exchange.fields["idempotency-key"] for exchange in flaky.seen]
        assert keys == [charge.key] * 2
        assert client.balance(funded).balance == 95


@pytest.mark.parametrize("always", [serve_and_drop, serve_and_cut])
def test_what_is_never_answered_is_unknown_and_its_key_finds_out(
    server: Server, funded: str, connect: Any, always: Any
) -> None:
    with Flaky([always], server.port) as flaky:
        with pytest.raises(farthing.UnknownOutcome) as caught:
            through(flaky, server, connect).charge(funded, 5)
        assert len(flaky.seen) == 3
    assert "the same key finds out" in str(caught.value)
    client = connect(f"http://127.0.0.1:{server.port}", api_key=server.new_key("admin"))
    assert client.charge(funded, 5, key=caught.value.key).replayed is True
    assert client.balance(funded).balance == 95


def test_many_charges_are_sent_again_as_they_were(server: Server, funded: str, connect: Any) -> None:
    with Flaky([serve_and_drop, serve], server.port) as flaky:
        results = through(flaky, server, connect).charge_many([{"account": funded, "amount": 5}] * 2)
        assert [(each.status, each.replayed) for each in results] == [("charged", True)] * 2
        assert flaky.seen[0].body == flaky.seen[1].body


def busy(*places: int, status: str = "failed", code: str = "busy") -> Step:
    """The real server makes the charges but those, as if it had been busy for them."""

    def step(exchange: Exchange) -> None:
        items = json.loads(exchange.body)["items"]
        left = json.dumps({"items": [item for place, item in enumerate(items) if place not in places]}).encode()
        answered = json.loads(exchange.passed_on(left).partition(b"\r\n\r\n")[2])["results"]
        why = {"code": code, "status": 503, "detail": "It was busy."}
        results = [
            {"index": place, "status": status, "problem": why}
            if place in places
            else answered.pop(0) | {"index": place}
            for place in range(len(items))
        ]
        answer(200, json.dumps({"results": results}).encode(), kind="application/json")(exchange)

    return step


def keys_of(exchange: Exchange) -> list[str]:
    return [item["key"] for item in json.loads(exchange.body)["items"]]


@pytest.mark.parametrize(("status", "code"), [("failed", "busy"), ("unknown", "unknown_outcome")])
def test_those_of_many_charges_that_failed_are_sent_again_under_their_keys(
    server: Server, funded: str, connect: Any, status: str, code: str
) -> None:
    heard: list[Any] = []
    with Flaky([busy(1, 3, status=status, code=code), busy(1), serve], server.port) as flaky:
        client = through(flaky, server, connect, on_metrics=lambda **told: heard.append(told))
        results = client.charge_many([{"account": funded, "amount": n} for n in (1, 2, 3, 4, 200)])
        assert [each.status for each in results] == ["charged"] * 4 + ["refused"]
        assert [each.index for each in results] == list(range(5))
        assert [each.charge.amount for each in results[:4]] == [1, 2, 3, 4]
        first, second, third = map(keys_of, flaky.seen)
        assert [each.key for each in results] == first
        assert (second, third) == ([first[1], first[3]], [first[3]])
        assert client.balance(funded).balance == 90
    assert [told["success"] for told in heard] == [True] * 4 + [False], "each is told of once"


def test_those_of_many_charges_that_never_succeed_say_why(server: Server, funded: str, connect: Any) -> None:
    with Flaky([busy(0), busy(0), busy(0)], server.port) as flaky:
        client = through(flaky, server, connect)
        failed, charged = client.charge_many([{"account": funded, "amount": 1, "key": f"{funded}-{n}"} for n in "ab"])
        assert (failed.status, failed.key, failed.charge) == ("failed", f"{funded}-a", None)
        assert isinstance(failed.error, farthing.Unavailable)
        assert charged.status == "charged"
        assert len(flaky.seen) == 3


def test_many_charges_of_which_nobody_knows_have_each_its_key(server: Server, funded: str, connect: Any) -> None:
    with Flaky([serve, serve_and_drop], server.port) as flaky:
        items: Any = [{"account": funded, "amount": "0.01"}] * 1_001
        results = through(flaky, server, connect).charge_many(items)
    assert [each.status for each in results] == ["charged"] * 1_000 + ["unknown"]
    assert isinstance(results[-1].error, farthing.UnknownOutcome)
    client = connect(f"http://127.0.0.1:{server.port}", api_key=server.new_key("admin"))
    assert client.charge(funded, "0.01", key=results[-1].key).replayed is True


@pytest.mark.parametrize(
    ("step", "error"),
    [(problem(401, "credential_invalid"), errors.Unauthorized), (problem(503, "busy"), farthing.Unavailable)],
)
def test_what_concerns_all_of_many_charges_is_raised(connect: Any, step: Step, error: type[Exception]) -> None:
    with Flaky([step]) as flaky, pytest.raises(error):
        connect(flaky.url).charge_many([{"account": "a", "amount": 1}])


def test_a_hold_whose_settle_is_lost_is_settled_once(server: Server, funded: str, connect: Any) -> None:
    with Flaky([serve, serve_and_drop, serve], server.port) as flaky:
        client = through(flaky, server, connect)
        with client.hold(funded, 20) as held:
            held.used(5)
        assert held.settled.replayed is True
        assert client.balance(funded).balance == 95


# What answers is not Farthing


@pytest.mark.parametrize(
    "step",
    [
        answer(502, HTML, kind="text/html"),
        answer(504, b"", kind="text/plain"),
        answer(503, b"<html>", kind="text/html"),
        answer(500, b'{"error": "x"}', kind="application/json"),
        answer(200, HTML, kind="text/html"),
        answer(201, b'{"id": "ent_1"}', kind="application/json"),
        answer(201, b'{"id": "ent_1', kind="application/json"),
        answer(201, b"\xff\xfe", kind="application/json"),
        answer(201, b"[" * 100_000, kind="application/json"),
        lambda exchange: exchange.send(b"What is this?\r\n\r\n"),
        drop,
    ],
)
def test_what_is_no_answer_of_ours_leaves_a_write_unknown_and_a_read_unread(connect: Any, step: Any) -> None:
    with Flaky([step]) as flaky:
        client = connect(flaky.url)
        with pytest.raises(farthing.UnknownOutcome) as caught:
            client.charge("alice", 5)
        assert caught.value.key == flaky.seen[0].fields["idempotency-key"]
        with pytest.raises(farthing.Unavailable):
            client.balance("alice")
        assert len(flaky.seen) == 6


def test_an_error_of_a_proxy_shows_what_it_said(connect: Any) -> None:
    shown = r"502 and text/html .* '<html><head><title>502 Bad Gateway"
    with Flaky([answer(502, HTML, kind="text/html")]) as flaky, pytest.raises(farthing.UnknownOutcome, match=shown):
        connect(flaky.url).charge("alice", 5)


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, errors.Unauthorized), (403, errors.Forbidden), (404, errors.NotFound), (413, errors.TooLarge)],
)
def test_a_proxy_that_refuses_is_believed_at_once(connect: Any, status: int, error: type[Exception]) -> None:
    with Flaky([answer(status, HTML, kind="text/html")]) as flaky:
        with pytest.raises(error):
            connect(flaky.url).charge("alice", 5)
        assert len(flaky.seen) == 1


def test_a_redirect_says_where_to_connect(connect: Any) -> None:
    with Flaky([answer(301, b"", kind="text/html", location="https://elsewhere/v1/charges")]) as flaky:
        with pytest.raises(ApiError, match="https://elsewhere"):
            connect(flaky.url).charge("alice", 5)
        assert len(flaky.seen) == 1


# What may be sent again


@pytest.mark.parametrize(
    ("status", "code"), [(503, "busy"), (503, "queue_full"), (429, "rate_limit"), (500, "unknown_outcome")]
)
def test_what_may_succeed_later_is_sent_again_under_its_key(
    server: Server, funded: str, connect: Any, status: int, code: str
) -> None:
    with Flaky([problem(status, code, retry_after="0"), serve], server.port) as flaky:
        assert through(flaky, server, connect).charge(funded, 5, key="mine").after.balance == 95
        assert [exchange.fields["idempotency-key"] for exchange in flaky.seen] == ["mine", "mine"]


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (400, "invalid", farthing.Invalid),
        (402, "insufficient_credits", farthing.InsufficientCredits),
        (403, "frozen", farthing.Frozen),
        (404, "account_not_found", farthing.AccountNotFound),
        (408, "too_slow", farthing.Invalid),
        (409, "key_conflict", farthing.KeyConflict),
        (500, "internal_error", errors.ServerError),
        (409, "something_new", errors.Conflict),
        (418, "something_new", ApiError),
    ],
)
def test_a_refusal_is_never_sent_again(connect: Any, status: int, code: str, error: type[ApiError]) -> None:
    with Flaky([problem(status, code)]) as flaky:
        with pytest.raises(error) as caught:
            connect(flaky.url).charge("alice", 5)
        assert type(caught.value) is error
        assert (caught.value.code, caught.value.status, caught.value.request_id) == (code, status, "req_1")
        assert len(flaky.seen) == 1


@pytest.mark.parametrize("most", [0, 1, 3])
def test_tries_end(connect: Any, most: int) -> None:
    with Flaky([problem(503, "busy")]) as flaky:
        with pytest.raises(farthing.Unavailable):
            connect(flaky.url, max_retries=most).charge("alice", 5)
        assert len(flaky.seen) == most + 1


def test_who_is_told_to_wait_for_minutes_is_told_so(connect: Any) -> None:
    with Flaky([problem(429, "rate_limit", retry_after="600")]) as flaky:
        with pytest.raises(farthing.RateLimited) as caught:
            connect(flaky.url).charge("alice", 5)
        assert caught.value.retry_after == 600
        assert len(flaky.seen) == 1


NOON, LATER = "Wed, 21 Oct 2015 12:00:00 GMT", "Wed, 21 Oct 2015 12:00:40 GMT"


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": LATER, "date": NOON}, 40),
        ({"retry-after": NOON, "date": LATER}, 0),
        # Without the server's own time it is long ago.
        ({"retry-after": LATER}, 0),
        ({"retry-after": LATER, "date": "noon"}, 0),
        ({"retry-after": "Wed, 21 Oct 2015 12:00:40 -0000", "date": NOON}, 40),
        ({"retry-after": "Wed, 99 Oct 2015 12:00:40 GMT", "date": NOON}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "\u0664"}, None),
        ({"retry-after": ""}, None),
        ({}, None),
    ],
)
def test_how_long_to_wait_is_told_in_seconds_or_as_a_date_by_the_clock_of_who_sends_it(
    fields: dict[str, str], seconds: float | None
) -> None:
    body = b'{"code": "rate_limit", "status": 429, "detail": "It is so."}'
    with pytest.raises(farthing.RateLimited) as caught:
        read_answer(post(Balance, "/v1/charges", {}, None), Answer(429, body, fields))
    assert caught.value.retry_after == seconds


@pytest.mark.parametrize("hours", [-30, 30])
def test_a_client_whose_clock_is_wrong_charges_once_and_waits_no_longer(
    server: Server, funded: str, connect: Any, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    wrong = time.time_ns() + hours * 3_600 * 10**9
    monkeypatch.setattr(values, "time", SimpleNamespace(time_ns=lambda: wrong))
    with Flaky([problem(503, "busy", retry_after=NOON, date=NOON), serve_and_drop, serve], server.port) as flaky:
        client = through(flaky, server, connect)
        charge = client.charge(funded, 5)
        keys = {exchange.fields["idempotency-key"] for exchange in flaky.seen}
        assert (charge.replayed, keys, len(flaky.seen)) == (True, {charge.key}, 3)
        assert {client.charge(funded, 1).replayed for _ in range(3)} == {False}
        assert client.balance(funded).balance == 92


def test_nothing_was_done_where_nobody_listens(connect: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(farthing.Unavailable, match=r"can't be reached .*nothing was done") as caught:
        connect(f"http://127.0.0.1:{port}").charge("alice", 5)
    assert (caught.value.code, caught.value.status) == ("unreachable", 0)


def test_an_answer_that_takes_too_long_leaves_a_write_unknown(connect: Any) -> None:
    with Flaky([hang]) as flaky:
        client = connect(flaky.url, timeout=0.05, max_retries=0)
        with pytest.raises(farthing.UnknownOutcome, match="in time"):
            client.charge("alice", 5)
        with pytest.raises(farthing.Unavailable, match="in time"):
            client.balance("alice")


def test_waits_double_and_differ_and_follow_what_is_said() -> None:
    retries, busy = Retries(10), errors.Unavailable("x")
    waits = [[retries.wait(busy, tries) or 0 for _ in range(50)] for tries in (1, 2, 3, 9)]
    for longest, found in zip((0.5, 1, 2, LONGEST_SECONDS), waits, strict=True):
        assert all(0.75 * longest <= wait <= longest for wait in found)
        assert len(set(found)) > 1
    told = [retries.wait(errors.Unavailable("x", retry_after=4), 1) or 0 for _ in range(50)]
    assert all(4 <= wait <= 5 for wait in told)
    assert retries.wait(busy, 11) is None
    assert retries.wait(errors.InsufficientCredits("x"), 1) is None


# What a newer server says


def test_what_is_not_known_is_kept_wherever_it_stands(connect: Any) -> None:
    body = (
        b'{"account": "a", "balance": "5", "unscoped": "5", "held": "0", "debt": "0", "available": "5", "mood": "good",'
        b' "scoped": [{"scope": ["x"], "available": "1", "colour": [1]}], "next_expiration": null, "extra": {"b": 2}}'
    )
    with Flaky([answer(200, body, kind="application/json")]) as flaky:
        balance = connect(flaky.url).balance("a")
    assert balance.extra == {"mood": "good", "extra": {"b": 2}}
    assert balance.scoped[0].extra == {"colour": [1]}


def test_a_path_before_the_api_is_kept_and_the_key_is_sent(connect: Any) -> None:
    with Flaky([problem(404, "account_not_found")]) as flaky:
        with pytest.raises(farthing.AccountNotFound):
            connect(f"{flaky.url}/credits/").balance("a b")
        assert flaky.seen[0].head.startswith(b"GET /credits/v1/accounts/a%20b/balance HTTP/1.1")
        assert flaky.seen[0].fields["x-api-key"] == "cs_live_any"
