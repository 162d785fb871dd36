"""The metrics of several workers in one text."""

import asyncio
import os
import socket
from collections import Counter
from pathlib import Path

from farthing.api.fleet import Fleet, merged, socket_path
from farthing.api.metrics import Metrics


def samples(text: bytes) -> list[str]:
    return [line for line in text.decode().splitlines() if not line.startswith("#")]


def counted(*statuses: int) -> bytes:
    metrics = Metrics()
    for status in statuses:
        metrics.answered("countwerk", status, 0.001)
    return metrics.text()


def test_every_line_gets_its_workers_number():
    told = samples(merged({0: counted(200), 1: counted(200, 503)}, 2))
    assert 'farthing_requests_total{worker="0",face="countwerk",status="200"} 1.0' in told
    assert 'farthing_requests_total{worker="1",face="countwerk",status="503"} 1.0' in told
    assert 'farthing_queue_depth{worker="1"} 0.0' in told
    assert 'farthing_worker_up{worker="1"} 1.0' in told
    assert all('{worker="' in line for line in told)
    assert len(told) == len({line.rpartition(" ")[0] for line in told}), "no series stands twice"


def test_a_metric_is_explained_once_and_its_lines_stand_together():
    lines = merged({0: counted(200), 1: counted(402), 2: counted(200)}, 3).decode().splitlines()
    explained = Counter(line.split(" ")[2] for line in lines if line.startswith("# HELP"))
    assert set(explained.values()) == {1}
    (where,) = [place for place, line in enumerate(lines) if line.startswith("# TYPE farthing_requests_total")]
    names = [line.partition("{")[0] for line in lines]
    assert names[where + 1 : where + 4] == ["farthing_requests_total"] * 3
    assert names.count("farthing_requests_total") == 3


def test_a_worker_that_does_not_answer_is_down():
    told = samples(merged({1: counted()}, 2))
    assert told[:2] == ['farthing_worker_up{worker="0"} 0.0', 'farthing_worker_up{worker="1"} 1.0']


def test_whoever_is_asked_tells_of_all_that_answer(tmp_path: Path):
    async def asked() -> list[str]:
        fleets = [Fleet(tmp_path, number, number + 1, 4, counted) for number in range(2)]
        for fleet in fleets:
            await fleet.open()
        # One has died and left its socket behind, one listens and says nothing.
        with socket.socket(socket.AF_UNIX) as dead, socket.socket(socket.AF_UNIX) as silent:
            dead.bind(os.fspath(socket_path(tmp_path, 2, 3)))
            silent.bind(os.fspath(socket_path(tmp_path, 3, 4)))
            silent.listen()
            dead.close()
            told = samples(await fleets[0].text())
        for fleet in fleets:
            fleet.close()
        return told

    told = asyncio.run(asked())
    ups = [line.rpartition(" ")[2] for line in told if line.startswith("farthing_worker_up")]
    assert ups == ["1.0", "1.0", "0.0", "0.0"]
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["2.3", "3.4"]


def test_the_last_one_out_leaves_no_folder_and_the_next_makes_it_again(tmp_path: Path):
    folder = tmp_path / "fleet"

    async def come_and_go() -> list[bool]:
        one, two = (Fleet(folder, number, 1, 2, counted) for number in range(2))
        seen = []
        for act in (one.open, two.open):
            await act()
        for fleet in (one, two):
            fleet.close()
            seen.append(folder.exists())
        await one.open()
        seen.append(folder.exists())
        one.close()
        return seen

    assert asyncio.run(come_and_go()) == [True, False, True]


def test_of_a_worker_and_its_successor_the_successor_tells(tmp_path: Path):
    async def asked() -> list[str]:
        old = Fleet(tmp_path, 1, 9, 2, lambda: b"# HELP x X\n# TYPE x gauge\nx 1.0\n")
        new = Fleet(tmp_path, 1, 10, 2, lambda: b"# HELP x X\n# TYPE x gauge\nx 2.0\n")
        mine = Fleet(tmp_path, 0, 1, 2, lambda: b"")
        for fleet in (old, new, mine):
            await fleet.open()
        told = samples(await mine.text())
        for fleet in (old, new, mine):
            fleet.close()
        return told

    assert 'x{worker="1"} 2.0' in asyncio.run(asked())
