"""Named statements of a slice, from its SQL file: `-- name: balance` begins one."""

import re
from functools import cache
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)


@cache
def statements(dialect: str, slice_name: str) -> dict[str, str]:
    """All statements of `sql/<dialect>/<slice>.sql` by their names."""
    text = (files(__package__) / "sql" / dialect / f"{slice_name}.sql").read_text(encoding="utf-8")
    parts = _NAME.split(text)
    return {name: sql.strip() for name, sql in zip(parts[1::2], parts[2::2], strict=True)}
