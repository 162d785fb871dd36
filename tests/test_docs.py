"""The docs say what the code does: every setting, refusal, code and command stands in them."""

import re
from pathlib import Path

from tests.events_reference import EVENTS, events
from tests.library_reference import LIBRARY, library
from tests.reference import PAGE, page

ROOT = Path(__file__).parents[1]


def test_the_reference_is_made_from_this_code() -> None:
    assert PAGE.read_text() == page(), "run `python -m tests.reference`"
    assert LIBRARY.read_text() == library(), "run `python -m tests.reference`"
    assert EVENTS.read_text() == events(), "run `python -m tests.reference`"


def test_every_method_and_every_error_of_the_library_has_its_words() -> None:
    assert re.findall(r"```\n\n\n", library()) == []
    assert [line for line in library().splitlines() if line.startswith("| `") and line.endswith("|  |")] == []


def test_every_setting_has_its_sentence() -> None:
    rows = [line for line in page().splitlines() if re.match(r"\| `(FARTHING_|[a-z_]+` \| `)", line)]
    assert len(rows) > 15
    assert [row for row in rows if row.endswith("|  |")] == []


def test_links_of_the_pages_lead_somewhere() -> None:
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text()):
            assert (path.parent / target).exists(), f"{path.name} links to {target}"
