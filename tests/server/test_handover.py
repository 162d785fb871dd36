"""Handing connections over: each is somebody's at any time, whoever dies in between."""

import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from farthing.server import handover
from farthing.server.handover import LEAVING, READY, UNANSWERED, Heard, Intake, Outlet


class Pair:
    """Both ends, and connections whose other side is at hand."""

    def __init__(self, held: ExitStack) -> None:
        ours, theirs = socket.socketpair()
        self._held = held
        self.theirs = held.enter_context(theirs)
        self.outlet = Outlet(held.enter_context(ours), b'{"number": 7}')
        self.intake = Intake(theirs)
        self.ordered = self.intake.order()

    def connection(self) -> tuple[socket.socket, socket.socket]:
        near, far = socket.socketpair()
        return self._held.enter_context(near), self._held.enter_context(far)


@pytest.fixture
def pair() -> Iterator[Pair]:
    with ExitStack() as held:
        yield Pair(held)


def test_the_order_comes_first_and_whole(pair: Pair):
    assert pair.ordered == b'{"number": 7}'
    assert pair.intake.take() == ([], True)


def test_an_order_of_a_parent_that_has_gone_is_no_order():
    ours, theirs = socket.socketpair()
    ours.close()
    with theirs, pytest.raises(EOFError):
        Intake(theirs).order()


def test_a_connection_that_was_taken_is_the_workers_alone(pair: Pair):
    client, connection = pair.connection()
    assert pair.outlet.give(connection)
    ((taken,), more) = pair.intake.take()
    assert more
    assert pair.outlet.hear() == ([], [])
    assert connection.fileno() == -1, "the parent's copy is closed"
    with taken:
        client.sendall(b"hello")
        assert taken.recv(10) == b"hello"
    assert client.recv(10) == b"", "nobody else has it"


def test_what_a_worker_has_not_taken_when_it_dies_is_given_to_the_next(pair: Pair):
    client, connection = pair.connection()
    assert pair.outlet.give(connection)
    client.sendall(b"hello")
    pair.theirs.close()
    assert pair.outlet.hear() == ([Heard.GONE], [])
    (left,) = pair.outlet.take_back()
    assert left.recv(10) == b"hello", "nothing of it was read"
    assert pair.outlet.take_back() == []


def test_a_worker_that_has_gone_is_given_nothing(pair: Pair):
    pair.theirs.close()
    _, connection = pair.connection()
    assert not pair.outlet.give(connection)
    assert connection.fileno() != -1


def test_a_worker_that_takes_nothing_is_given_only_so_many(pair: Pair):
    given = [pair.outlet.give(pair.connection()[1]) for _ in range(UNANSWERED + 1)]
    assert given == [True] * UNANSWERED + [False]
    taken, _ = pair.intake.take()
    for each in taken:
        each.close()
    assert len(taken) == UNANSWERED
    pair.outlet.hear()
    assert pair.outlet.give(pair.connection()[1])


def test_a_worker_that_has_left_one_lying_is_given_no_other(pair: Pair, monkeypatch: pytest.MonkeyPatch):
    assert pair.outlet.give(pair.connection()[1])
    monkeypatch.setattr(handover, "STUCK_SECONDS", 0.0)
    assert not pair.outlet.give(pair.connection()[1])
    ((taken,), _) = pair.intake.take()
    taken.close()
    pair.outlet.hear()
    assert pair.outlet.give(pair.connection()[1])


def test_a_worker_that_may_open_no_more_files_gives_the_connection_back(pair: Pair):
    client, connection = pair.connection()
    assert pair.outlet.give(connection)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = socket.socket()
    number = lowest_free.fileno()
    lowest_free.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (number, limits[1]))
    try:
        assert pair.intake.take() == ([], True)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert pair.outlet.hear() == ([], [connection])
    connection.sendall(b"still here")
    assert client.recv(20) == b"still here"


def test_a_worker_hears_the_end_after_the_last_connection(pair: Pair):
    pair.outlet.give(pair.connection()[1])
    pair.outlet.end()
    ((taken,), more) = pair.intake.take()
    taken.close()
    assert not more


def test_words_of_a_worker_are_heard_in_their_order(pair: Pair):
    pair.intake.say(READY)
    pair.intake.say(LEAVING)
    assert pair.outlet.hear() == ([Heard.READY, Heard.LEAVING], [])
    pair.outlet.close()
    pair.intake.say(READY)  # nobody is there: that is heard by `take`
    assert pair.intake.take() == ([], False)
