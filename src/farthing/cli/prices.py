"""Prices: the commands under `prices`, each group in a file of its own."""

import typer

from . import backtest, cards, catalogue, model_prices, quarantine
from .options import enter
from .price import PANEL

GROUP = typer.Typer(help="What models cost, and the rate cards that turn usage into credits.")


def register(app: typer.Typer) -> None:
    """Enter the commands."""
    enter(
        GROUP,
        "sync",
        "$ farthing prices sync --dry-run",
        "$ farthing prices sync",
        "$ farthing prices sync --source litellm --file model_prices_and_context_window.json --verbose",
    )(catalogue.sync)
    enter(
        GROUP,
        "init",
        "$ farthing prices init --rate 100 --markup 20",
    )(model_prices.init)
    enter(GROUP, "search", "$ farthing prices search gpt-4o")(catalogue.search)
    enter(
        GROUP,
        "show",
        "$ farthing prices show gpt-4o",
        "$ farthing prices show sonar --provider perplexity --json",
    )(model_prices.show)
    enter(
        GROUP,
        "set",
        "$ farthing prices set gpt-4o --input 2.5 --output 10 --reason 'our contract'",
        "$ farthing prices set our-model --price tokens=0.005 --per 1 --reason 'house model' --at 2027-01-01",
    )(model_prices.change)
    enter(GROUP, "unset", "$ farthing prices unset gpt-4o --reason 'the contract has ended'")(model_prices.remove)
    cards.register(GROUP)
    quarantine.register(GROUP)
    backtest.register(GROUP)
    app.add_typer(GROUP, name="prices", rich_help_panel=PANEL)
