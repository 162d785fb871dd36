"""Ratios, verdicts and the page: a figure with a problem never counts, a shortfall is always named."""

import pytest

from bench.ledgers import is_report
from bench.report import document, markdown
from bench.rounds import Spread, interleave, ratios, spread
from bench.row import Row
from bench.rows import ROWS
from bench.services import Measurement
from bench.targets import TARGETS, Figure

MACHINE = {
    "cpu": "a cpu", "cores": 2, "memory_gb": 4, "kernel": "6", "filesystem": "ext4", "python": "3.11",
    "flush_ms": {"median": 1, "p99": 2}, "wake_up_us": {"same core": 1, "other core": 2}, "sqlite": "3",
    "postgresql": "15", "libraries": {"apsw": "3"}, "stolen_share": 0.01,
}  # fmt: skip
ASKED = {"rounds": 3, "seconds": 5.0, "quick": False, "full": False}


def turn(rate: float, *problems: str) -> Measurement:
    return Measurement({"rate": rate, "p50_ms": 1.0, "p99_ms": 2.0, "max_ms": 3.0}, {}, problems)


def row(name: str, value: float, *problems: str) -> Row:
    sides = {"a": [turn(10, *problems)]}
    return Row(name, sides, [Figure(name, Spread(value, value, value))]).blame()


def test_sides_take_turns():
    order: list[str] = []

    def side(name: str) -> Measurement:
        order.append(name)
        return turn(len(order))

    interleave("row", {"a": lambda: side("a"), "b": lambda: side("b")}, 3)
    assert order == ["a", "b"] * 3


def test_a_ratio_is_taken_within_each_round():
    over, under = [turn(10), turn(40), turn(90)], [turn(10), turn(10), turn(30)]
    assert ratios(over, under) == Spread(3.0, 1.0, 4.0)


def test_the_spread_of_one_round_is_that_round():
    assert spread([5.0]) == Spread(5.0, 5.0, 5.0)


@pytest.mark.parametrize(
    ("name", "value", "verdict"),
    [
        ("http64", 7.0, "aim reached"),
        ("http64", 6.9, "reached"),
        ("http64", 4.99, "falls short"),
        ("http16", 0.1, "reported"),
        ("pg64", 12.0, "aim reached"),
        ("pg64", 7.99, "falls short"),
        ("pg_p99", 2.5, "reached"),
        ("pgfloor", 1.5, "reached"),
        ("bulk", 1.99, "falls short"),
        ("pg_growth", 0.85, "reached"),
        ("slow_commit", 0.64, "falls short"),
        ("slow_commit_sqlite", 0.1, "reported"),
        ("memory", 199.0, "aim reached"),
        ("memory", 201.0, "falls short"),
        ("clean_exit", 0.0, "aim reached"),
        ("clean_exit", 1.0, "falls short"),
    ],
)
def test_a_verdict_follows_from_the_target(name, value, verdict):
    assert Figure(name, Spread(value, value, value)).verdict == verdict


def test_the_aim_is_never_easier_than_the_least():
    for name, target in TARGETS.items():
        if target.least is not None and target.aim is not None:
            assert (target.aim - target.least) * (1 if target.more_is_better else -1) >= 0, name


def test_every_row_has_a_figure_of_its_name():
    assert set(ROWS) <= set(TARGETS)


def test_a_side_without_percentiles_is_shown_all_the_same():
    floor = Measurement(
        {"rate": 10.0, "mean_ms": 1.5, "p50_ms": None, "p99_ms": None, "max_ms": None}, {"postgres": 9.0}
    )
    only = Row("pgfloor", {"pgbench": [floor]}, [Figure("pgfloor", Spread(2.0, 2.0, 2.0))])
    assert "| pgfloor | pgbench | 10 (10 to 10) | - | - | -, 9, - |" in markdown(MACHINE, ASKED, [only])


def test_a_problem_of_any_turn_makes_the_figure_invalid():
    spoilt = row("http64", 9.0, "farthing: 3 answers 500")
    assert spoilt.figures[0].verdict == "invalid"
    assert document(MACHINE, ASKED, [spoilt])["invalid"] == ["http64"]


def test_the_page_names_what_falls_short_and_what_is_invalid():
    page = markdown(MACHINE, ASKED, [row("http64", 3.0), row("hot", 0.95), row("replays", 1.0, "lost 2 calls")])
    short = page.partition("## What falls short")[2].partition("## The machine")[0]
    assert TARGETS["http64"].what in short
    assert "lost 2 calls" in short
    assert TARGETS["hot"].what not in short


def test_the_json_holds_every_figure_with_its_target():
    (only,) = document(MACHINE, ASKED, [row("http64", 6.0)])["rows"]
    (figure,) = only["figures"]
    assert (figure["value"], figure["at_least"], figure["aim"], figure["verdict"]) == (6.0, 5, 7, "reached")


@pytest.mark.parametrize(
    ("text", "true"),
    [('{"accounts": 3}', True), ('{"error": {"code": "usage"}}', False), ("", False), ("[]", False)],
)
def test_only_what_doctor_says_when_it_has_looked_is_a_clean_bill(text, true):
    assert is_report(text) is true
