"""Products on the command line."""

import json
from pathlib import Path

from tests.cli.command import Cli

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PLANS, SAMPLE = str(EXAMPLES / "plans" / "token_bot.json"), str(EXAMPLES / "products" / "assistant.json")


def write(name: str, document: object) -> str:
    Path(name).write_text(json.dumps(document))
    return name


def test_the_sample_is_imported_once_its_plans_are_there(ledger: Cli):
    code, name, sentence = ledger.fails("products", "import", SAMPLE)
    assert (code, name) == (1, "invalid")
    assert "names a plan that is not there: 'professional'" in sentence
    ledger.ok("plans", "import", PLANS)
    (made,) = ledger.ok("products", "import", SAMPLE)["data"]
    assert [tier["plan"] for tier in made["tiers"]] == ["professional", "business"]
    assert [top_up["credits"] for top_up in made["top_ups"]] == ["500", "2500", "10000"]
    listed = ledger.told("products", "list")
    assert "assistant/pack-500      500 tokens" in listed
    assert "digistore24:500001 stripe:price_professional" in listed
    shown = ledger.ok("products", "show", "assistant")
    assert (shown["name"], shown["archived_at"]) == ("Assistant", None)
    assert "business      Business" in ledger.told("products", "show", "assistant")


def test_what_is_exported_can_be_imported_and_comes_to_the_same(ledger: Cli):
    ledger.ok("plans", "import", PLANS)
    ledger.ok("products", "import", SAMPLE)
    ledger.ok("products", "put", "gone", write("gone.json", {"id": "gone"}))
    ledger.ok("products", "archive", "gone", "--yes")
    sample = json.loads(Path(SAMPLE).read_text())["products"]
    assert json.loads(ledger.told("products", "export"))["products"] == sample
    assert ledger.ok("products", "export")["products"] == sample
    assert ledger.ok("products", "export", "--out", "all.json") == {"path": "all.json", "products": 1}
    assert ledger.fails("products", "export", "--out", "all.json")[:2] == (1, "target_exists")
    ledger.ok("products", "import", "all.json")
    assert ledger.ok("products", "export")["products"] == sample


def test_a_product_is_put_from_a_file_that_has_it_alone(ledger: Cli):
    file = write("bot.json", {"id": "bot", "top_ups": [{"id": "pack", "credits": "7.5"}]})
    assert ledger.ok("products", "put", "bot", file)["top_ups"][0]["credits"] == "7.5"
    assert ledger.told("products", "put", "bot", file) == "product bot: pack\n"
    code, name, sentence = ledger.fails("products", "put", "other", file)
    assert (code, name, "it has bot" in sentence) == (2, "usage", True)
    assert ledger.fails("products", "put", "bot", "nowhere.json")[:2] == (2, "usage")


def test_of_a_file_all_products_are_put_or_none(ledger: Cli):
    sold = {"stripe": "price_1"}
    one = {"id": "a", "top_ups": [{"id": "p", "credits": "1", "sold_as": sold}]}
    file = write(
        "two.json", {"products": [one, {"id": "b", "top_ups": [{"id": "q", "credits": "1", "sold_as": sold}]}]}
    )
    code, name, sentence = ledger.fails("products", "import", file)
    assert (code, name, "must be of no other product" in sentence) == (1, "invalid", True)
    code, name, sentence = ledger.fails("products", "import", write("bad.json", {"products": [one, {"id": "b/c"}, {}]}))
    assert (code, name) == (2, "invalid_product")
    assert "b/c: id must have no slash; product 3: it is not right" in sentence
    assert ledger.ok("products", "list", "--archived")["data"] == []
    # What moves from one product to another in the same file is sold once after it.
    ledger.ok("products", "import", write("one.json", {"products": [one]}))
    ledger.ok("products", "import", write("moved.json", {"products": [{"id": "a"}, {**one, "id": "b"}]}))


def test_an_archived_product_is_on_no_list_and_on_sale_again_when_it_is_put(ledger: Cli):
    file = write("bot.json", {"id": "bot"})
    ledger.ok("products", "put", "bot", file)
    assert ledger.fails("products", "archive", "bot")[:2] == (1, "confirmation_needed")
    assert ledger.ok("products", "archive", "bot", "--yes")["archived_at"] is not None
    assert ledger.ok("products", "list")["data"] == []
    assert [product["id"] for product in ledger.ok("products", "list", "--archived")["data"]] == ["bot"]
    ledger.ok("products", "put", "bot", file)
    assert [product["id"] for product in ledger.ok("products", "list")["data"]] == ["bot"]
    for words in (("show", "nothing"), ("archive", "nothing", "--yes")):
        assert ledger.fails("products", *words)[:2] == (1, "product_not_found")
