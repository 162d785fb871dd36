"""Every line of the page about other systems runs, on a file, in PostgreSQL and against a server."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from farthing.api.accounting.face import ENDPOINTS as ACCOUNTING
from farthing.api.login.face import ENDPOINTS as LOGIN
from tests.api.serving import Server
from tests.postgres import TEMPLATE

WHOLE = (Path(__file__).resolve().parents[2] / "docs" / "from-other-systems.md").read_text()
PAGE, _, SERVICE = WHOLE.partition("## The Accounting Service")
(SETUP,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
ROWS = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in PAGE.splitlines() if line[:1] == "|"]
LINES = [
    code[1:-1] for _, *cells in ROWS for code in cells
    if re.fullmatch(r"`(with |list\()?(client|tokens|farthing)\.[^`]*`", code) and "..." not in code
]  # fmt: skip
FUNCTIONS = re.findall(
    r"\S+",
    """
    initializeUserBalance getUserBalance hasSufficientBalance getModelPricing calculateCost recordUsage deductBalance
    getUserUsage getUserUsageStats addBalance setBalance bulkAddCredits updateModelPricing clearPricingCache
    getDailyRevenue getModelUsageReport getTopUsers formatCost formatTokens checkout.session.completed
    payment_intent.succeeded charge.refunded invoice.paid getBalance debit credit chargeForOperation canAfford refund
    resetBalance eligible renewUser renewAllEligible usersDue
    """,
)


@pytest.fixture(scope="module", params=["file", "postgres", "server"])
def names(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What the lines use."""
    made: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("names"))
        setup = SETUP
        if request.param == "server":
            server: Server = request.getfixturevalue("server")
            patch.setenv("FARTHING_API_KEY", server.new_key("admin"))
            setup = SETUP.replace("sqlite:///credits.db", f"http://127.0.0.1:{server.port}")
        elif request.param == "postgres":
            url = request.getfixturevalue("databases").make(TEMPLATE, keep=True)
            setup = SETUP.replace("sqlite:///credits.db", url)
        assert (setup == SETUP) == (request.param == "file")
        exec(compile(setup, "setup", "exec"), made)
        yield made
        made["client"].close()


@pytest.mark.parametrize("line", LINES)
def test_the_line_does_what_it_says(names: dict[str, Any], line: str) -> None:
    # A result of the token service says itself whether it went well.
    exec(compile(f"found = None\n{line}" if line.startswith("with ") else f"found = {line}", line, "exec"), names)
    found = names["found"]
    assert line.startswith("with ") or found is not None
    assert getattr(found, "success", True) is True
    assert getattr(found, "affordable", True) is True
    assert all(found) if "grant_many" in line else True


def test_what_the_lines_say_is_what_is_there(names: dict[str, Any]) -> None:
    found = {line: eval(line, names) for line in LINES if "quote(" in line or "format_" in line or "nobody" in line}
    assert [str(each) for each in found.values() if not isinstance(each, list)] == ["0", "$0.0234", "1,234,567"]
    (lines,) = [each for each in found.values() if isinstance(each, list)]
    assert {line.dimension for line in lines} == {"input_tokens", "output_tokens"}


def test_every_function_and_call_of_both_has_its_row() -> None:
    was = " ".join(row[0] for row in ROWS)
    assert [name for name in FUNCTIONS if not re.search(rf"\b{re.escape(name)}\b", was)] == []
    assert len(LINES) > 45
    assert all(len(row) in (2, 3) for row in ROWS)


def test_what_has_no_line_says_why() -> None:
    rows = [row for row in ROWS if row[0] not in ("was", "---")]
    without = [row for row in rows if not {cell[1:-1] for cell in row} & set(LINES)]
    assert [row for row in without if not re.match("not there yet|not needed|see ", row[1])] == []
    assert "`clearPricingCache`" in {row[0] for row in without}


def test_every_call_of_the_service_has_its_row() -> None:
    said = {re.sub(r"\{\w+\}", "{}", call) for call in re.findall(r"`([A-Z]+ /api/[^`]*)`", SERVICE)}
    there = {f"{each.method} {re.sub(r'{[^}]*}', '{}', each.path)}" for each in (*ACCOUNTING, *LOGIN)}
    assert said == there | {"GET /api/health"}
