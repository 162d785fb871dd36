"""The root of the command line: its commands, and how one line is run from its words to its exit code."""

import io
import os
import re
import sys
import traceback
from contextlib import suppress
from functools import cache
from typing import Annotated, Any

import typer

from . import (
    audit,
    buying,
    care,
    clock,
    copying,
    credits,
    demo,
    erasing,
    estimate,
    explain,
    fakes,
    grant_many,
    import_file,
    issuers,
    jobs,
    journal,
    keys,
    listen,
    payments,
    plans,
    price,
    prices,
    products,
    providers,
    quote,
    reports,
    retention,
    serve,
    settings,
    setup,
    simulate,
    statement,
    subscriptions,
    top_ups,
    usage,
    users,
    webhooks,
    workspaces,
)
from .exits import MEANING, Exit, Trouble, invalid
from .exits import explain as trouble_of
from .output import Answer, say, show, show_trouble

_EPILOG = "\n".join(
    [
        "Exit codes:",
        *(f"{code:>3d}  {meaning}" for code, meaning in MEANING.items()),
        "",
        "Every command takes --json, and --help shows examples.",
    ]
)
_NEGATIVE = re.compile(r"-[0-9.]")

app = typer.Typer(
    name="farthing",
    epilog=_EPILOG,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from farthing import __version__

        print(__version__)
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Farthing keeps credits: grants that expire, charges that never happen twice, books that explain every balance."""


for _room in (
    *(setup, serve, jobs, listen, webhooks),
    *(demo, credits, statement, grant_many, quote, estimate, explain, usage, reports),
    *(price, prices),
    *(products, providers, buying, payments, top_ups, plans, subscriptions, simulate, workspaces),
    *(settings, keys, users, issuers, audit, care, retention, erasing, copying, import_file, journal, clock, fakes),
):
    _room.register(app)


def run(words: list[str]) -> int:
    """Run one command line: the answer or the trouble is written, the exit code returned."""
    as_json = wants_json(words)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that knows no umlauts must not turn an answer into an error.
            stream.reconfigure(errors="backslashreplace")
    try:
        return _carry_out(words or ["--help"], as_json)
    except typer.TyperException as error:
        trouble = _misused(error)
    except Exception as error:
        trouble = trouble_of(error)
        if trouble.exit is Exit.BUG and os.environ.get("FARTHING_TRACEBACK"):
            traceback.print_exception(error)
    # The sentence comes first; where the object can't be written the exit code says the same.
    with suppress(OSError):
        show_trouble(trouble, as_json)
    _let_go_of_output()
    return trouble.exit


def _carry_out(words: list[str], as_json: bool) -> int:
    # Without standalone mode an answer comes back as it is, and `typer.Exit` as its exit code.
    answer = _whole().main(words, prog_name="farthing", standalone_mode=False)
    if isinstance(answer, Answer):
        try:
            show(answer, as_json)
        except OSError as error:
            return _unheard(error)
        return answer.exit
    # What was written along the way may still wait in a buffer: whether it can be written is known here, not at exit.
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # who read the beginning of a list had enough
        _let_go_of_output()
        return Exit.NO
    if answer == Exit.INTERRUPTED:
        show_trouble(Trouble("interrupted", "interrupted", Exit.INTERRUPTED), as_json)
    return int(answer or Exit.OK)


@cache
def _whole() -> Any:
    """All commands, put together once: it takes as long as a short command itself."""
    return typer.main.get_command(app)


def _unheard(error: OSError) -> int:
    """What was asked for is done, and nobody was told: for the caller its outcome is unknown."""
    _let_go_of_output()
    if not isinstance(error, BrokenPipeError):
        say(f"it was carried out, but the answer can't be written: {error.strerror}")
    return Exit.UNKNOWN


def _let_go_of_output() -> None:
    """Drop what standard output does not take any more: the interpreter would complain at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def wants_json(words: list[str]) -> bool:
    """Whether --json is among the options: known before the line is understood, since misuse is told as JSON too."""
    options = words[: words.index("--")] if "--" in words else words
    return "--json" in options


def _misused(error: typer.TyperException) -> Trouble:
    """A line that can't be understood, with where to look."""
    option = str(getattr(error, "option_name", ""))
    if _NEGATIVE.match(option):
        return invalid("amount", "must be above zero, without a sign")
    context = getattr(error, "ctx", None)
    place = context.command_path if context is not None else "farthing"
    return Trouble("usage", f"{error.format_message()} See `{place} --help`.", Exit.USAGE)
