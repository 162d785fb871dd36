"""The short forms of the hammer. The long ones: ./dev hammer --db postgres --processes 4 --kills 100; ./dev soak."""

from pathlib import Path

from tests.hammer import hammer, postgres_anvil


def test_every_acknowledged_command_survives_kills_once(tmp_path: Path) -> None:
    result = hammer(tmp_path, kills=6, seed=20261121)
    assert result["acknowledged"] > 100
    assert result["doctor"]["ok"] is True


def test_it_survives_once_when_servers_and_postgres_itself_are_killed(tmp_path: Path) -> None:
    blows = ("SIGKILL", "rolling restart", "all servers")
    with postgres_anvil() as anvil:
        result = hammer(tmp_path, seed=20261122, blows=blows, anvil=anvil, processes=2, pause=0.3)
    assert result["acknowledged"] > 100
    assert result["doctor"]["ok"] is True


def test_it_survives_once_when_workers_of_a_server_and_postgres_are_killed(tmp_path: Path) -> None:
    blows = ("server", "rolling restart", "immediate")
    with postgres_anvil() as anvil:
        result = hammer(tmp_path, seed=20261123, blows=blows, anvil=anvil, options=("--workers", "4"), pause=0.3)
    assert result["acknowledged"] > 100
    assert result["doctor"]["ok"] is True
