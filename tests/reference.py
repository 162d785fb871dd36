"""The reference, made from the code: `python -m tests.reference` writes docs/reference.md, and with `library_reference`
that of the library.
"""

import ast
import inspect
from pathlib import Path
from typing import Any

import typer
from msgspec.structs import fields

from farthing.api.countwerk import CountWerk
from farthing.api.countwerk.errors import CODES
from farthing.cli.exits import MEANING
from farthing.cli.refusals import SENTENCES
from farthing.cli.root import app
from farthing.core.outcomes import Refusal
from farthing.core.records import WorkspaceSettings
from farthing.importing.form import TYPES, Totals
from farthing.settings import PREFIX, Settings

PAGE = Path(__file__).parents[1] / "docs" / "reference.md"


def sentences(kind: type) -> dict[str, str]:
    """The sentence that documents each field of a class: the text that stands below it."""
    (body,) = (n for n in ast.parse(inspect.getsource(kind)).body if isinstance(n, ast.ClassDef))
    found = {}
    for field, text in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            found[ast.unparse(field.target)] = " ".join(str(text.value.value).split())
    return found


def settings(kind: Any, prefix: str) -> list[str]:
    """A table of the settings of a class."""
    said = sentences(kind)
    rows = ["| name | default | what it is |", "| --- | --- | --- |"]
    for field in fields(kind):
        name = f"{prefix}{field.name.upper()}" if prefix else field.name
        rows.append(f"| `{name}` | `{field.default}` | {said.get(field.name, '')} |")
    return rows


def commands(command: Any, words: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    """Every command with the first sentence of its help."""
    found = []
    for name, each in getattr(command, "commands", {}).items():
        if hasattr(each, "commands"):
            found += commands(each, (*words, name))
        else:
            help = " ".join((each.help or "").split())
            found.append((" ".join((*words, name)), help.partition(". ")[0].rstrip(".") + "."))
    return found


def import_file() -> list[str]:
    """The lines of an import file, type by type."""
    found = []
    for name, kind in TYPES.items():
        said = sentences(kind) | (sentences(Totals) if name == "totals" else {})
        what = " ".join((kind.__doc__ or "").split())
        found += [f"`{name}`: {what}", "", "| field | | what it is |", "| --- | --- | --- |"]
        for field in fields(kind):
            found.append(f"| `{field.name}` | {'needed' if field.required else ''} | {said[field.name]} |")
        found.append("")
    return found


def page() -> str:
    """The whole page."""
    lines = [
        "# Reference",
        "",
        "Made from the code by `python -m tests.reference`; a test compares. The HTTP API, with examples, is at",
        "`/docs` of a running service and as OpenAPI 3.1 at `/openapi.json`.",
        "",
        "## Settings of a process",
        "",
        "Variables of the environment; options of `farthing serve` win over them.",
        "",
        *settings(Settings, PREFIX),
        "",
        "## Settings of a workspace",
        "",
        "`farthing settings list`, `get` and `set`; each change is audited and reaches every process within a second.",
        "",
        *settings(WorkspaceSettings, ""),
        "",
        "## Commands",
        "",
        "| command | what it does |",
        "| --- | --- |",
        *(f"| `farthing {name}` | {what} |" for name, what in commands(typer.main.get_command(app))),
        "",
        "Exit codes:",
        "",
        "| code | meaning |",
        "| --- | --- |",
        *(f"| {int(code)} | {meaning} |" for code, meaning in MEANING.items()),
        "",
        "## Refusals",
        "",
        "Why a command was not carried out; nothing was changed.",
        "",
        "| code | as the command line tells it |",
        "| --- | --- |",
        *(f"| `{refusal}` | {SENTENCES[refusal]} |" for refusal in Refusal),
        "",
        "## CountWerk endpoints and codes",
        "",
        "| path | scope | what it does |",
        "| --- | --- | --- |",
        *(f"| `{e.method} {e.path}` | {e.scope} | {e.summary} |" for e in CountWerk.endpoints),
        "",
        "| status | code | for example |",
        "| --- | --- | --- |",
        *(f"| {code.status} | `{code.code}` | {code.sentence} |" for code in CODES.values()),
        "",
        "## Import files",
        "",
        "What `farthing import` reads: a JSON object on each line, by its `type`. Amounts are decimal text or whole",
        'numbers, times RFC 3339 (`"2026-01-31T12:00:00Z"`); [how to move in](how-to/moving-in.md).',
        "",
        *import_file(),
    ]
    return "\n".join(lines)


def main() -> None:
    """Write all of them."""
    from tests.events_reference import EVENTS, events
    from tests.library_reference import LIBRARY, library

    PAGE.write_text(page())
    LIBRARY.parent.mkdir(exist_ok=True)
    LIBRARY.write_text(library())
    EVENTS.write_text(events())


if __name__ == "__main__":
    main()
