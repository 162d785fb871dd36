"""Options that several commands have, and how a command is entered: its panel and its examples."""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import typer

Function = TypeVar("Function", bound=Callable[..., Any])

Account = Annotated[str, typer.Argument(metavar="ACCOUNT", help="The account, by its own stable id.")]
Db = Annotated[
    str | None,
    typer.Option(
        "--db",
        metavar="URL",
        help="The database, such as sqlite:///farthing.db. Default: FARTHING_DATABASE_URL, else sqlite:///farthing.db.",
    ),
]
In = Annotated[
    str | None,
    typer.Option("--workspace", "-w", metavar="ID", help="The workspace. Default: the only one."),
]
Json = Annotated[bool, typer.Option("--json", help="Answer with JSON and nothing else on standard output.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Go ahead without being asked.")]
Key = Annotated[
    str | None,
    typer.Option("--key", metavar="KEY", help="Idempotency key: repeated with it, the command is carried out once."),
]
Description = Annotated[
    str | None,
    typer.Option("--description", metavar="TEXT", help="A sentence for the history, at most 1,000 characters."),
]
Metadata = Annotated[
    str | None, typer.Option("--metadata", metavar="JSON", help="A JSON object that is kept with the entry.")
]


def enter(app: typer.Typer, name: str, *examples: str, panel: str | None = None) -> Callable[[Function], Function]:
    """Enter a command under its name; the examples end its help."""
    return app.command(name, epilog="\n".join(["Examples:", *examples]), rich_help_panel=panel)
