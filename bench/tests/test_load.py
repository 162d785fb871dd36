"""The load generator counts what came back, hides nothing, and sends what it was told to send."""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

import pytest

from bench.load import drive, percentile
from bench.traffic import METADATA_BYTES, Plan, account_picker, id_maker, metadata, request_maker

Handler = Callable[[bytes, int], bytes | None]
ACCOUNT = re.compile(rb'"account_id":"([^"]*)"')
EVENT = re.compile(rb'"usage_event_id":"([^"]*)"')


def answer(status: int = 200, body: bytes = b"{}") -> bytes:
    return b"HTTP/1.1 %d Whatever\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)


async def serving(handler: Handler, act: Callable[[str], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    """Serve requests by `handler(body, number)`; None closes the connection without an answer."""
    count = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = re.search(rb"Content-Length: (\d+)", head)
            assert length is not None
            body = await reader.readexactly(int(length[1]))
            count += 1
            said = handler(body, count)
            if said is None:
                writer.close()
                return
            writer.write(said)

    async def quiet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except asyncio.IncompleteReadError:
            writer.close()

    server = await asyncio.start_server(quiet, "127.0.0.1", 0)
    try:
        return await act(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    finally:
        server.close()


def run(handler: Handler, **plan: Any) -> dict[str, Any]:
    options: dict[str, Any] = {"connections": 4, "requests": 100, "warmup": 0.0} | plan

    async def act(url: str) -> dict[str, Any]:
        return await drive(Plan(urls=(url,), key="cs_test_x", **options))

    return asyncio.run(serving(handler, act))


def test_every_answer_is_counted_by_its_status():
    figures = run(lambda _, number: answer(402 if number % 4 == 0 else 200))
    assert figures["status"] == {"200": 75, "402": 25}
    assert (figures["requests"], figures["ok"]) == (100, 75)


def test_the_rate_counts_successes_only():
    figures = run(lambda _, number: answer(402 if number % 2 else 200))
    assert figures["rate"] == pytest.approx(figures["ok"] / figures["seconds"], rel=0.01)
    assert figures["ok"] == 50


def test_what_got_429_or_5xx_is_sent_again_with_the_same_body():
    seen: list[bytes] = []

    def handler(body: bytes, number: int) -> bytes:
        seen.append(body)
        return answer({1: 503, 2: 429}.get(number, 200))

    figures = run(handler, connections=1, requests=2)
    assert seen[0] == seen[1] == seen[2] != seen[3]
    assert figures["retries"] == 2
    assert figures["status"] == {"200": 2, "retried_503": 1, "retried_429": 1}


def test_a_failure_that_lasts_is_counted_and_not_hidden():
    figures = run(lambda _, __: answer(500), connections=2, requests=2)
    assert figures["status"] == {"500": 2, "retried_500": 4}
    assert figures["ok"] == 0


def test_a_lost_connection_is_counted_and_its_request_sent_again():
    seen: list[bytes] = []

    def handler(body: bytes, number: int) -> bytes | None:
        seen.append(body)
        return None if number == 1 else answer()

    figures = run(handler, connections=1, requests=3)
    assert seen[0] == seen[1]
    assert (figures["connections_lost"], figures["retries"], figures["ok"]) == (1, 1, 3)


def test_when_the_server_goes_away_the_open_requests_are_told():
    figures = run(lambda _, n: answer() if n <= 10 else None, requests=1000, attempts=1, stop_when_lost=True)
    assert figures["ok_with_warmup"] == 10
    assert figures["unanswered"] >= 1


def test_an_answer_in_pieces_is_put_together():
    big = b"[" + b"1," * 200_000 + b"1]"
    assert run(lambda _, __: answer(body=big), requests=8)["ok"] == 8


def test_an_answer_without_length_ends_the_run():
    with pytest.raises(SystemExit, match="content-length"):
        run(lambda _, __: b"HTTP/1.1 200 OK\r\n\r\n{}")


def test_a_repetition_that_is_answered_alike_but_for_the_time_is_fine():
    times = iter(range(1000))

    def handler(body: bytes, _: int) -> bytes:
        event = EVENT.search(body)
        assert event is not None
        return answer(body=b'{"id":"%b","timestamp":"%d"}' % (event[1], next(times)))

    figures = run(handler, replays=0.5)
    assert figures["replays"] > 10
    assert figures["replays_differ"] == 0


def test_a_repetition_that_is_answered_otherwise_is_found():
    figures = run(lambda _, number: answer(body=b'{"balance":%d}' % number), replays=0.5)
    assert figures["replays_differ"] == figures["replays"] > 10


def test_the_request_is_well_formed_and_the_metadata_has_150_bytes():
    make = request_maker(Plan(urls=(), key="cs_test_x"), "host:1", Random(1))
    head, _, body = make().partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert set(json.loads(body)) == {"account_id", "operation", "amount", "usage_event_id", "metadata"}
    assert len(metadata().encode()) == METADATA_BYTES


def test_a_template_may_name_the_account_only_or_the_id_twice():
    plan = Plan(urls=(), key="k", body='{"account_id":"{account}"}')
    assert json.loads(request_maker(plan, "h", Random(1))().partition(b"\r\n\r\n")[2]).keys() == {"account_id"}
    twice = Plan(urls=(), key="k", body='{"a":"{id}","b":"{id}","percent":"100%"}')
    body = json.loads(request_maker(twice, "h", Random(1))().partition(b"\r\n\r\n")[2])
    assert body["a"] == body["b"] != ""
    assert body["percent"] == "100%"


def test_a_bulk_has_so_many_charges_each_with_an_account_and_a_key_of_its_own():
    make = request_maker(Plan(urls=(), key="k", path="/v1/charges/bulk", items=30, pick="each"), "h", Random(1))
    first, second = (make().partition(b"\r\n\r\n") for _ in range(2))
    assert f"Content-Length: {len(first[2])}".encode() in first[0]
    items = [item for request in (first, second) for item in json.loads(request[2])["items"]]
    assert len({item["key"] for item in items}) == len({item["account"] for item in items}) == 60
    assert all(json.dumps(item["metadata"], separators=(",", ":")) == metadata() for item in items)


def test_the_rate_of_bulks_counts_charges():
    said = b'{"results":[' + b",".join([b'{"status":"charged"}'] * 10) + b"]}"
    figures = run(lambda _, __: answer(body=said), items=10, requests=40)
    assert (figures["ok"], figures["status"]) == (40, {"200": 40})
    assert figures["rate"] == pytest.approx(400 / figures["seconds"], rel=0.01)


def test_a_bulk_in_which_one_was_not_charged_does_not_count():
    said = b'{"results":[{"status":"charged"},{"status":"refused"}]}'
    figures = run(lambda _, __: answer(body=said), items=2, requests=5)
    assert (figures["ok"], figures["rate"]) == (0, 0.0)
    assert figures["status"] == {"200, not all of them charged": 5}


@pytest.mark.parametrize("kind", ["ordered", "random"])
def test_ids_are_unique_within_a_run_and_between_runs(kind):
    one, two = id_maker(kind), id_maker(kind)
    ids = [make() for _ in range(5000) for make in (one, two)]
    assert len(set(ids)) == len(ids)
    assert {len(name) for name in ids} == {32}


def test_ordered_ids_grow():
    make = id_maker("ordered")
    ids = [make() for _ in range(5000)]
    assert ids == sorted(ids)


def test_accounts_are_picked_as_the_plan_says():
    def picked(pick: str, count: int = 3000) -> list[bytes]:
        choose = account_picker(Plan(urls=(), key="", accounts=10, pick=pick), Random(1))
        return [choose() for _ in range(count)]

    assert set(picked("hot")) == {b"bench-0000000"}
    assert len(set(picked("uniform"))) == 10
    assert picked("each", 10) == sorted(set(picked("uniform")))
    zipf = picked("zipf")
    assert zipf.count(b"bench-0000000") > 3 * zipf.count(b"bench-0000009")


def test_a_percentile_is_a_value_that_was_measured():
    values = list(range(1, 101))
    assert [percentile(values, share) for share in (0.5, 0.99, 1.0)] == [50, 99, 100]
    assert percentile([7], 0.99) == 7
