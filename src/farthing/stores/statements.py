"""Named statements of a slice, from its SQL files: `-- name: balance` begins one.

What every database understands stands once, in `sql/<slice>.sql`, with `?` for each value; what one of them says in
another way stands in `sql/<dialect>/<slice>.sql`, and wins.
"""

import re
from functools import cache
from importlib.resources import files
from itertools import count

_NAME = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)


@cache
def statements(dialect: str, slice_name: str) -> dict[str, str]:
    """All statements of a slice by their names, in the words of one database."""
    folder = files(__package__) / "sql"
    found: dict[str, str] = {}
    for file in (folder / f"{slice_name}.sql", folder / dialect / f"{slice_name}.sql"):
        if file.is_file():
            parts = _NAME.split(file.read_text(encoding="utf-8"))
            found.update((name, sql.strip()) for name, sql in zip(parts[1::2], parts[2::2], strict=True))
    return {name: in_words_of(dialect, sql) for name, sql in found.items()}


def in_words_of(dialect: str, sql: str) -> str:
    """The statement with its values marked as the database wants them: `?`, or `$1`, `$2` on PostgreSQL."""
    if dialect != "postgres":
        return sql
    numbers = count(1)
    return re.sub(r"\?", lambda _: f"${next(numbers)}", sql)
