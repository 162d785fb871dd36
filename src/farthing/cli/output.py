"""Output: answers on standard output, sentences and progress on standard error, questions on the terminal."""

import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from .exits import Exit, Trouble

PROGRESS_EVERY_SECONDS = 2.0


@dataclass(frozen=True)
class Answer:
    """What a command says: `data` for programs, `text` for people."""

    data: dict[str, Any]
    text: str
    exit: Exit = Exit.OK
    notes: Sequence[str] = field(default_factory=tuple)
    """Sentences for standard error, in both forms."""


def show(answer: Answer, as_json: bool) -> None:
    """Write an answer."""
    for note in answer.notes:
        say(note)
    if as_json:
        write_json(answer.data)
    elif answer.text:
        print(answer.text, flush=True)


def write_json(data: dict[str, Any]) -> None:
    """One JSON object on a line of standard output."""
    print(json.dumps(data), flush=True)


def say(text: str) -> None:
    """A sentence on standard error."""
    print(f"farthing: {clean(text)}", file=sys.stderr, flush=True)


def show_trouble(trouble: Trouble, as_json: bool) -> None:
    """A failure: the sentence, and for programs the object."""
    say(trouble.message)
    if as_json:
        write_json(trouble.as_json())


def clean(text: str) -> str:
    """Text that can't move a terminal's cursor: control characters are shown as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def columns(rows: Iterable[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Rows in aligned columns, never cut; the columns numbered in `right` are aligned there."""
    cells = [[clean(cell) for cell in row] for row in rows]
    widths = [max(map(len, column), default=0) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    )


def many(count: int, one: str, more: str = "") -> str:
    """So many of something: `1 account`, `2 accounts`; `more` where several are not said by an s."""
    return f"{count:,} {one if count == 1 else more or one + 's'}"


def pairs(values: dict[str, str]) -> str:
    """Names and values, one below the other."""
    return columns(list(values.items()))


def confirm(question: str, yes: bool) -> None:
    """Ask before something that can't be taken back; without a terminal only --yes will do."""
    if yes:
        return
    if not sys.stdin.isatty():
        message = f"{question} Nobody is there to be asked: add --yes to go ahead. Nothing was done."
        raise Trouble("confirmation_needed", message, Exit.NO)
    print(f"{clean(question)} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Trouble("not_confirmed", "nothing was done", Exit.NO)


# Progress


class Progress(Protocol):
    """Told how far some work is."""

    def __call__(self, done: int, total: int | None, what: str | None = None) -> None:
        """So many are done; of how many, where that is known; of what, where that changes."""


@contextmanager
def progress(title: str) -> Iterator[Progress]:
    """Show progress on standard error: a bar on a terminal, else a line now and then."""
    if sys.stderr.isatty():
        with _bar(title) as told:
            yield told
    else:
        yield _lines(title)


@contextmanager
def _bar(title: str) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    shown = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    # Standard output is left alone: it may be a file, and what is in it is the answer.
    with Bar(*shown, console=Console(stderr=True), transient=True, redirect_stdout=False) as bar:
        task, name = bar.add_task(title, total=None), title

        def told(done: int, total: int | None, what: str | None = None) -> None:
            nonlocal task, name
            if what is not None and what != name:
                bar.remove_task(task)
                task, name = bar.add_task(what, total=total), what
            bar.update(task, completed=done, total=total)

        yield told


def _lines(title: str) -> Progress:
    last = time.monotonic()

    def told(done: int, total: int | None, what: str | None = None) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= PROGRESS_EVERY_SECONDS:
            last = now
            say(f"{what or title}: {done:,}" + ("" if total is None else f" of {total:,}"))

    return told
