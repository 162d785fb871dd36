"""The chat of the examples, over HTTP and with its stand-ins: answers that are paid for, that break off, that can't be
paid for until credits are bought, and a reader who leaves.
"""

import importlib.util
import json
import shlex
import sys
from collections.abc import Iterator
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
import pytest

import farthing
from farthing.fakes.models import Remote
from tests.api.serving import wait_for
from tests.llm.vendors import booked
from tests.llm.web import served

pytestmark = pytest.mark.xdist_group("models")
EXAMPLES = Path(__file__).parents[2] / "examples"
_names = count()


class Site:
    """The chat, the stand-ins by their control, and its ledger."""

    def __init__(self, url: str, models: str, stripe: str, ledger: Any) -> None:
        self.url, self.ledger = url, ledger
        self.models, self.stripe = Remote(models), Remote(stripe)

    def reader(self, name: str | None = None) -> "Reader":
        """Somebody new."""
        return Reader(self, name or f"reader-{next(_names)}")

    def meets(self, **habits: Any) -> None:
        """What the next call to a model is to meet."""
        self.models.post("next", calls=[habits])


class Reader:
    """Somebody with a browser."""

    def __init__(self, site: Site, name: str) -> None:
        self.site, self.name, self.account = site, name, f"user-{name}"
        self.http = httpx2.Client(base_url=site.url, timeout=60)

    def log_in(self) -> "Reader":
        assert self.http.post("/login", json={"name": self.name}).json()["user"] == self.account
        return self

    def ask(self, **more: Any) -> httpx2.Response:
        return self.http.post("/chat", json={"text": "Hello there", **more})

    def events(self, **more: Any) -> list[dict[str, Any]]:
        """What an answer says, event by event."""
        answer = self.ask(**more)
        assert (answer.status_code, answer.headers["content-type"][:17]) == (200, "text/event-stream")
        return [json.loads(each.removeprefix("data: ")) for each in answer.text.split("\n\n") if each]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("chat")
    program = folder / "bin" / "farthing"
    program.parent.mkdir()
    path = ":".join(each for each in sys.path if each)
    program.write_text(
        f"#!/bin/sh\nPYTHONPATH={shlex.quote(path)} exec {shlex.quote(sys.executable)} "
        """-c 'import sys; from farthing.cli import main; sys.exit(main())' "$@"\n"""
    )
    program.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("PATH", str(program.parent), prepend=":")
        for name in ("OPENAI", "ANTHROPIC"):
            # Set first, so that what the example puts there is taken away again.
            for part in ("API_KEY", "BASE_URL"):
                patch.setenv(f"{name}_{part}", "")
                patch.delenv(f"{name}_{part}")
        patch.delenv("FARTHING_URL", raising=False)
        spec = importlib.util.spec_from_file_location("chat_app", EXAMPLES / "chat_app.py")
        assert spec is not None
        assert spec.loader is not None
        example = importlib.util.module_from_spec(spec)
        patch.setitem(sys.modules, "chat_app", example)
        spec.loader.exec_module(example)
        with (
            example.stand_ins() as (models, stripe),
            served(example.app) as url,
            farthing.connect(example.URL) as ledger,
        ):
            yield Site(url, models, stripe, ledger)


@pytest.mark.parametrize("model", ["gpt-4o", "claude-haiku-4-5"])
def test_an_answer_costs_what_the_provider_says_it_used(site: Site, model: str):
    reader = site.reader().log_in()
    *pieces, last = reader.events(model=model)
    assert len([piece for piece in pieces if piece["text"]]) > 3
    (charge,) = site.ledger.charges.list(reader.account)
    assert (charge.usage.model, charge.usage.service) == (model, "chat")
    assert last["charged"] == f"{charge.amount:f}"
    assert last["balance"] == f"{Decimal('1.1') - charge.amount:f}"
    call = booked(site.models, charge.metadata["metering"]["answer"])
    assert charge.usage.dimensions["output_tokens"] == call["billed"]["output_tokens"]
    (line,) = reader.http.get("/history").json()
    assert line["amount"] == last["charged"]
    assert "finished, by the figures of: provider" in line["because"]


def test_guests_get_short_answers_for_nothing(site: Site):
    reader = site.reader()
    site.meets(answer_tokens=100)
    *pieces, last = reader.events()
    assert len([piece for piece in pieces if piece["text"]]) == 30
    assert last == {"charged": "0", "balance": "?", "level": ""}
    assert (reader.http.get("/me").json(), reader.http.get("/history").json()) == ({"user": None}, [])


def test_an_answer_that_breaks_off_is_paid_for_as_far_as_it_came(site: Site):
    reader = site.reader().log_in()
    site.meets(cut_after=5)
    *_, error, last = reader.events()
    assert "broke off" in error["error"]
    (charge,) = site.ledger.charges.list(reader.account)
    assert (charge.usage.dimensions["output_tokens"], last["charged"]) == (5, f"{charge.amount:f}")
    assert "cut, by the figures of: delivered" in reader.http.get("/history").json()[0]["because"]


def test_who_leaves_pays_for_what_he_read(site: Site):
    reader = site.reader().log_in()
    site.meets(hold_after=4)
    with reader.http.stream("POST", "/chat", json={"text": "Hello there"}) as answer:
        lines = answer.iter_lines()
        assert [next(lines) for _ in range(9)][-1].startswith("data:")
    wait_for(lambda: list(site.ledger.charges.list(reader.account)))
    (charge,) = site.ledger.charges.list(reader.account)
    assert (charge.usage.dimensions["output_tokens"], charge.metadata["metering"]["ended"]) == (4, "left")


def test_who_runs_low_is_told_and_who_has_too_little_is_shown_where_to_buy(site: Site):
    reader = site.reader().log_in()
    site.ledger.set_balance(reader.account, "0.5")
    assert reader.events()[-1]["level"] == "low"
    site.ledger.set_balance(reader.account, "0.2")  # more than the floor, and less than an answer may cost
    before = site.models.get("state")["calls"]
    refused = reader.ask()
    told = refused.json()
    assert (refused.status_code, told["code"], told["balance"]) == (402, "INSUFFICIENT_BALANCE", 0.2)
    assert site.models.get("state")["calls"] == before
    assert [each["label"] for each in told["purchase"]] == ["1,000 credits", "100 credits"]
    session = told["purchase"][1]["url"].rpartition("/")[2]
    site.stripe.post(f"checkouts/{session}/pay", card="4242424242424242")
    wait_for(lambda: site.ledger.balance(reader.account).balance > 100)
    assert reader.events()[-1]["level"] == "fine"


def test_what_users_say_is_never_html(site: Site):
    page = site.reader().http.get("/").text
    assert "innerHTML" not in page
    assert "textContent" in page
    assert site.reader().http.post("/login", json={"name": "<b>"}).status_code == 422
    # A cookie of somebody whom the ledger doesn't know.
    reader = site.reader()
    reader.http.cookies.set("user", "unknown-to-all")
    assert reader.http.get("/me").status_code == 404
    assert reader.ask().status_code == 402
