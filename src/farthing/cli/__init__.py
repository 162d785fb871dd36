"""The command line: `farthing COMMAND`; every administrative act, for people and for programs.

Standard output has the answer and nothing else: text for people, or with --json one JSON object (JSON lines where
it streams). What goes wrong is a sentence on standard error, and with --json also an object
{"error": {"code", "message", ...}} on standard output. Progress is on standard error. There is never a traceback,
but for a bug where FARTHING_TRACEBACK=1 is set.

Exit codes (`exits.Exit` has them, `farthing --help` shows them):

      0  done; the answer is yes
      1  the answer is no: refused, not found, found wrong, not confirmed
      2  the command line can't be understood: an option, an amount, a date
      3  the database can't be used: missing, damaged, of another version
      4  busy or unavailable, nothing was done: locked, disk full, port in use
      5  the outcome is not known: the same --key finds out
     70  a bug in Farthing
    130  interrupted

This package knows `app` and `serving`, which put the ledger together; it imports them inside its commands, since
most of the time that a short command takes is spent importing.
"""

import sys
from typing import NoReturn


def main() -> NoReturn:
    """The program `farthing`: one command line from its words to its exit code."""
    try:
        from .root import run
    except ImportError as error:
        sys.exit(_lacking(error))
    sys.exit(run(sys.argv[1:]))


def _lacking(error: ImportError) -> int:
    """Tell whoever has the client alone what the program takes: what its commands are made with is missing here."""
    from farthing.extras import missing

    from .exits import not_installed
    from .output import show_trouble

    if (sentence := missing(error)) is None:
        raise error
    trouble = not_installed(sentence)
    show_trouble(trouble, "--json" in sys.argv)
    return trouble.exit
