"""The page about the stand-ins says of Digistore24's what is there, and its program runs."""

import re
import subprocess
import sys
from pathlib import Path

import msgspec

from farthing.fakes.digistore24 import KEY, Fake, asked
from farthing.fakes.digistore24.functions import Weather
from farthing.fakes.digistore24.model import Product
from farthing.fakes.digistore24.post import LADDER, Habits

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "fakes.md").read_text()
SECTION = PAGE.partition("## Digistore24")[2].partition("\n## ")[0]


def test_its_program_prints_what_it_says():
    (code,) = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)
    (printed,) = re.findall(r"```text\n(.*?)```", SECTION, re.DOTALL)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.stderr) == (printed, "")


def test_everything_that_can_be_made_to_happen_or_looked_at_stands_in_it():
    routes = {(method, pattern.pattern) for method, pattern, _ in Fake().routes.known if "_fake" in pattern.pattern}
    paths = {re.sub(r"\(\?P<\w+>\[\^/\]\+\)", "<id>", pattern).removeprefix("/_fake/") for _, pattern in routes}
    assert len(paths) > 20
    assert {path for path in paths if f"`{path}`" not in SECTION} == set()


def test_all_names_that_control_takes_stand_in_it():
    kinds: list[type[msgspec.Struct]] = [asked.HabitChange, asked.RuleChange, asked.WeatherChange, asked.NewKey]
    kinds += [asked.NewUpgrade, asked.Card, asked.Purchase, asked.Release, asked.Forward, asked.GiveBack]
    names = {field.name for kind in kinds for field in msgspec.structs.fields(kind)} - {"country", "name"}
    assert {name for name in names if f"`{name}" not in SECTION} == set()
    assert {field.name for field in msgspec.structs.fields(asked.HabitChange)} == Habits().told().keys()
    assert {field.name for field in msgspec.structs.fields(asked.WeatherChange)} == vars(Weather()).keys()


def test_its_figures_are_those_of_the_code():
    assert KEY in SECTION
    assert f"for {Product('', '').price:.0f} EUR" in SECTION
    assert (len(LADDER), LADDER[0].seconds, LADDER[9].days) == (20, 180, 1)
