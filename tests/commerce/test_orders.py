"""The short forms of the orders, on either database. The long ones: ./dev soak orders."""

import random
from pathlib import Path

from tests.commerce.orders import storm


def quiet(_: str) -> None:
    """Nobody listens."""


def test_orders_at_digistore24_are_in_the_ledger_once_though_the_server_is_killed(tmp_path: Path) -> None:
    done = storm(f"sqlite:///{tmp_path}/orders.db", "digistore24", 60, 1, random.Random(20261121), quiet)
    assert done["payments"] > 60
    assert done["messages"] > done["payments"]


def test_orders_at_stripe_are_in_the_ledger_once_though_the_server_is_killed(postgres_empty_url: str) -> None:
    done = storm(postgres_empty_url, "stripe", 60, 1, random.Random(20261122), quiet)
    assert done["payments"] > 60
    assert done["messages"] > done["payments"]
