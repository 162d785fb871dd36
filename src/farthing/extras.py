"""Extras: what has to be installed beside the client for what one does, told to whoever lacks it.

`pip install farthing` brings the client over HTTP; the extras of pyproject.toml bring what else there is.
"""

from collections.abc import Mapping
from typing import Final

EXTRA_OF: Final[Mapping[str, str]] = {
    "apsw": "sqlite",
    "asyncpg": "postgres",
    "argon2": "cli",
    "bcrypt": "cli",
    "genai_prices": "cli",
    "rich": "cli",
    "typer": "cli",
    "cryptography": "server",
    "httptools": "server",
    "jwt": "server",
    "prometheus_client": "server",
    "stripe": "server",
    "structlog": "server",
    "uvicorn": "server",
    "uvloop": "server",
    "wrapt": "llm",
}
"""By the name that a package is imported by."""
_SENTENCES: Final[Mapping[str, str]] = {
    "sqlite": "a ledger in this process needs the package {}, which is not installed: pip install 'farthing[sqlite]', "
    "or 'farthing[postgres]' for one in PostgreSQL",
    "postgres": "a ledger in PostgreSQL needs the package {}, which is not installed: pip install 'farthing[postgres]'",
    "cli": "the program farthing needs the package {}, which is not installed: pip install 'farthing[cli]', or "
    "'farthing[server]' for all that it can do",
    "llm": "farthing.llm needs the package {}, which is not installed: pip install 'farthing[llm]'",
    "server": "farthing serve needs the package {}, which is not installed: pip install 'farthing[server]'",
}


def missing(error: ImportError) -> str | None:
    """What to install, in a sentence, where an import has failed for want of an extra."""
    package = (error.name or "").partition(".")[0]
    extra = EXTRA_OF.get(package)
    return None if extra is None else _SENTENCES[extra].format(package)
