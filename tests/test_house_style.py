"""The house rules that no other tool keeps: sizes, docstrings, a pure core, clean locks, bucketed keys.

The numbers below are a ratchet: they say what is allowed today, and they only ever go down.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from itertools import takewhile
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import pytest

from farthing.extras import EXTRA_OF
from tests.mutate import plan_problems
from tests.mutations import MUTATIONS

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "farthing"
CORE = SOURCE / "core"
SQL = SOURCE / "stores" / "sql"
DIALECTS = sorted(path.name for path in SQL.iterdir() if path.is_dir())

# Lines of a function, its docstring apart.
MEDIAN_FUNCTION_LINES = 7
NINE_IN_TEN_FUNCTION_LINES = 25
LONGEST_FUNCTION_LINES = 70
# A longer file gives its reason in its docstring, with the words "over 400 lines".
FILE_LINES = 400

# What core may import: nothing that reads a clock, draws a random number or touches the world.
CORE_IMPORTS = {
    "base64",
    "bisect",
    "collections",
    "copy",
    "dataclasses",
    "decimal",
    "enum",
    "fractions",
    "functools",
    "hashlib",
    "hmac",
    "itertools",
    "msgspec",
    "operator",
    "re",
    "typing",
    "zlib",
}
# Built-ins that core may not call: the world, code from text, what differs from run to run, binary floats.
CORE_MAY_NOT_CALL = {"open", "print", "input", "eval", "exec", "compile", "__import__", "hash", "id", "float"}

# Tables that are no part of the ledger proper: small, looked up without an account, never spread by bucket.
DIRECTORIES = {
    "api_key": "found by its hash, before the workspace is known",
    "audit": "acts of people on a workspace, not on an account",
    "billing": "a charge without the buyer, found by its key before anything else is known",
    "checkout": "says whose a purchase will be: found before the account is known",
    "config": "one row per setting of the database",
    "customer": "as whom a provider knows an account, for all that is bought there",
    "lane": "how far the commits of one connection are folded",
    "login_code": "sent by mail to a person, found by its hash",
    "login_failure": "counted by account name or address, whether there is such a user or not",
    "login_session": "of a person, who may have no account",
    "model_price": "what models cost, for all workspaces",
    "operator_key": "belongs to no workspace, let alone an account",
    "payment": "unique whatever the account: says whose a payment is",
    "plan": "what subscriptions of a workspace give, for all its accounts",
    "product": "what is sold in a workspace, to all its accounts",
    "provider": "how a workspace speaks with who takes payments for it",
    "provider_event": "what a provider has sent: kept before anybody knows whose it is",
    "purchase_order": "says whose what was bought is: found before the account is known",
    "retiring": "who may let entries go, within his transaction",
    "rate_card": "prices of a workspace, for all its accounts",
    "receipt": "of a payment, whose account may not be known yet",
    "token_issuer": "whose tokens a workspace takes: found before the account is known",
    "users": "people: found by name and address, whatever the account",
    "webhook_endpoint": "who is told of the events of a workspace, whatever their accounts",
    "workspace": "the tenants themselves",
}


def modules(*folders: str) -> list[Path]:
    """Every Python file of the folders; there is always one."""
    found = sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    assert found
    return found


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


# Sizes


def function_lines(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Each function that has a body, with its lines less its docstring."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            documented = ast.get_docstring(node) is not None
            body = node.body[1:] if documented else node.body
            first = node.body[0]
            if any(not is_ellipsis(statement) for statement in body):
                docstring = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
                yield node.name, (node.end_lineno or 0) - node.lineno + 1 - docstring


def is_ellipsis(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and node.value.value is ...


def all_functions() -> list[tuple[str, int]]:
    return [
        (f"{name_of(path)}: {name}", lines) for path in modules("src") for name, lines in function_lines(parse(path))
    ]


def test_functions_are_counted_without_docstring_and_stubs_not_at_all():
    source = 'def a():\n    """Two\n    lines."""\n    return 1\n\n\ndef b():\n    """Stub."""\n    ...\n'
    assert list(function_lines(ast.parse(source))) == [("a", 2)]


def test_half_of_the_functions_are_tiny_and_nine_in_ten_are_short():
    lengths = [lines for _, lines in all_functions()]
    assert median(lengths) <= MEDIAN_FUNCTION_LINES
    assert quantiles(lengths, n=10)[-1] <= NINE_IN_TEN_FUNCTION_LINES


def test_no_function_is_long():
    assert [(name, lines) for name, lines in all_functions() if lines > LONGEST_FUNCTION_LINES] == []


def test_a_long_file_gives_its_reason_in_its_docstring():
    long = [path for path in modules("src") if len(path.read_text().splitlines()) > FILE_LINES]
    reason = f"over {FILE_LINES} lines"
    assert [name_of(path) for path in long if reason not in (ast.get_docstring(parse(path)) or "")] == []


# Words


def test_every_module_has_a_docstring():
    paths = [path for path in modules("src", "tests", "bench") if path.read_text().strip()]
    assert [name_of(path) for path in paths if not ast.get_docstring(parse(path))] == []


def test_nothing_is_called_a_service():
    files = [name_of(path) for path in SOURCE.rglob("*") if "service" in path.name.lower()]
    classes = [
        f"{name_of(path)}: {node.name}"
        for path in modules("src")
        for node in ast.walk(parse(path))
        if isinstance(node, ast.ClassDef) and node.name.endswith("Service")
    ]
    assert files + classes == []


# The core is pure


def imported(tree: ast.AST) -> Iterator[str]:
    """Every module named in an import, wherever it stands; a relative one with its dots."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


def impurities(tree: ast.AST) -> Iterator[str]:
    """What core may not do, with its line."""
    for name in imported(tree):
        inside = name.startswith("farthing.core") or (name.startswith(".") and not name.startswith(".."))
        if not inside and name.partition(".")[0] not in CORE_IMPORTS:
            yield f"imports {name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
            yield f"line {node.lineno}: the float {node.value}"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CORE_MAY_NOT_CALL:
            yield f"line {node.lineno}: calls {node.func.id}"


@pytest.mark.parametrize(
    "line",
    [
        "import time",
        "import os.path",
        "from datetime import datetime",
        "from random import random",
        "def f():\n    import secrets",
        "from ..stores import contract",
        "from farthing import engine",
        "fee = 0.5",
        "fee = float('1')",
        "place = hash('account')",
        "file = open('ledger')",
    ],
)
def test_what_core_may_not_do_is_seen(line):
    assert len(list(impurities(ast.parse(line)))) == 1


def test_core_reads_no_clock_draws_no_random_number_and_knows_no_float():
    paths = sorted(CORE.rglob("*.py"))
    assert paths
    assert [f"{name_of(path)}: {what}" for path in paths for what in impurities(parse(path))] == []


# Imports and packages


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def normal(name: str) -> str:
    """A package's name as the locks write it, without version or marker."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", name)[0]).lower()


def test_every_room_has_an_import_contract():
    contracts = project()["tool"]["importlinter"]["contracts"]
    governed = {name for contract in contracts for name in contract.get("source_modules", [])}
    rooms = {path.stem for path in SOURCE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert {f"farthing.{room}" for room in rooms - {"__init__", "__main__", "app", "serving"}} - governed == set()


def asked_for() -> list[str]:
    """All packages that the project takes, whatever one does with it; those that extras say twice, twice."""
    wanted = project()["project"]
    texts = [*wanted["dependencies"], *(text for extra in wanted["optional-dependencies"].values() for text in extra)]
    return [name for name in map(normal, texts) if name != "farthing"]


WHOSE_USER_BRINGS_IT = {"fastapi", "langchain_core", "litellm", "opentelemetry", "pydantic_ai"}
"""What is imported only where its user has it anyway."""


def test_every_package_that_the_source_imports_is_declared():
    declared = set(asked_for())
    names = {name.partition(".")[0] for path in modules("src") for name in imported(parse(path))}
    outside = names - set(sys.stdlib_module_names) - {"", "farthing"} - WHOSE_USER_BRINGS_IT
    packages = packages_distributions()
    assert {name for name in outside if not {normal(text) for text in packages[name]} & declared} == set()


def test_a_package_stands_in_one_extra_and_whoever_lacks_it_is_told_which():
    extras = project()["project"]["optional-dependencies"]
    assert len(asked_for()) == len(set(asked_for()))
    declared = {normal(text): extra for extra in extras for text in extras[extra] if normal(text) != "farthing"}
    packages = packages_distributions()
    told = {normal(packages[name][0]): extra for name, extra in EXTRA_OF.items()}
    # The data of time zones is nothing that is imported by name.
    assert declared == told | {"tzdata": "sqlite"}
    assert extras["all"] == ["farthing[server,llm]"]


# Locks


def pins(lock: str) -> dict[str, tuple[str, ...]]:
    """Each package of a lock with its pin and hashes; every line must be one of those, or a comment."""
    found: dict[str, tuple[str, ...]] = {}
    name = ""
    for line in (ROOT / "requirements" / lock).read_text().splitlines():
        if re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line):
            found[name] += (line.strip(" \\"),)
        elif pin := re.fullmatch(r"([a-z0-9-]+)==([\w.!+-]+)( ; [^\\/]+)? \\", line):
            name = pin[1]
            found[name] = (pin[2],)
        else:
            assert line.startswith("# "), f"{lock}: {line}"
    return found


@pytest.mark.parametrize("lock", ["run.lock", "dev.lock", "litellm.lock", "locking.lock"])
def test_a_lock_holds_pins_and_hashes_and_no_address_or_path(lock):
    text = (ROOT / "requirements" / lock).read_text()
    assert re.findall(r"\w+:/\S*|(?<![\w.])/\w\S*|@ \S+", text) == []
    assert all(len(pin) > 1 for pin in pins(lock).values())


def test_the_dev_lock_holds_the_run_lock():
    assert pins("run.lock").items() <= pins("dev.lock").items()


def test_the_locks_pin_everything_that_the_project_asks_for():
    wanted = project()
    groups = wanted["dependency-groups"]
    assert {*asked_for(), *map(normal, groups["build"])} <= pins("run.lock").keys()
    assert {normal(text) for text in groups["dev"]} <= pins("dev.lock").keys()
    assert {normal(text) for text in groups["litellm"]} <= pins("litellm.lock").keys()
    assert {normal(text) for text in groups["lock"]} <= pins("locking.lock").keys()


# Tables: the bucket is in every key, so that rows can be spread by it one day


def without_comments_and_texts(sql: str) -> str:
    return re.sub(r"--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'", " ", sql, flags=re.DOTALL).lower()


def in_brackets(sql: str, start: int) -> str:
    """What stands between the bracket before `start` and its partner."""
    depth = [1]

    def is_open(letter: str) -> bool:
        depth[0] += {"(": 1, ")": -1}.get(letter, 0)
        return depth[0] > 0

    return "".join(takewhile(is_open, sql[start:]))


def parts(text: str) -> list[str]:
    """The definitions between commas, but not between those inside brackets."""
    flat = re.compile(r"(?:[^,()]|\((?:[^()]|\([^()]*\))*\))+")
    return [part.strip() for part in flat.findall(text)]


def created(sql: str, what: str) -> Iterator[tuple[str, str]]:
    """Name and bracket of everything made by the statements that the pattern finds."""
    for match in re.finditer(rf"create\s+{what}\s*\(", sql):
        yield match[1], in_brackets(sql, match.end())


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text))


def table_offences(table: str, body: str) -> Iterator[str]:
    """A table without a bucket, and its primary and unique keys without one."""
    definitions = parts(body)
    if not any(definition.split()[0] == "bucket" for definition in definitions):
        yield f"{table} has no bucket"
    for definition in definitions:
        listed = re.search(r"\b(?:primary\s+key|unique)\s*\(([^)]*)\)", definition)
        alone = re.search(r"\bprimary\s+key\b|\bunique\b", definition)
        # `integer primary key` is SQLite's row number, not a key of ours.
        row_number = re.search(r"\binteger\s+primary\s+key\b", definition)
        if listed and "bucket" not in words(listed[1]):
            yield f"{table}: the key ({listed[1]}) lacks the bucket"
        elif alone and not listed and not row_number:
            yield f"{table}: the key ({definition.split()[0]}) lacks the bucket"


def offences(text: str) -> list[str]:
    """All keys of ledger tables that lack the bucket."""
    sql = without_comments_and_texts(text)
    ledger = [(name, body) for name, body in created(sql, r"table\s+(?:if\s+not\s+exists\s+)?(\w+)")]
    index = r"unique\s+index\s+(?:concurrently\s+)?(?:if\s+not\s+exists\s+)?\w+\s+on\s+(\w+)(?:\s+using\s+\w+)?"
    added = re.findall(r"alter\s+table\s+(?:only\s+)?(\w+)[^;]*?\b(?:primary\s+key|unique)\s*\(([^)]*)\)", sql)
    return [what for name, body in ledger if name not in DIRECTORIES for what in table_offences(name, body)] + [
        f"{name}: the unique index ({columns}) lacks the bucket"
        for name, columns in [*created(sql, index), *added]
        if name not in DIRECTORIES and "bucket" not in words(columns)
    ]


@pytest.mark.parametrize(
    ("statement", "seen"),
    [
        ("create table t (id text, bucket integer, primary key (id, bucket))", 0),
        ("create table t (at integer primary key, bucket integer check (bucket in (1, 2)))", 0),
        ("create unique index i on t (id, bucket)", 0),
        ("create table t (id text, primary key (id))", 2),
        ("create table t (id text primary key, bucket integer)", 1),
        ("create table t (id text unique, bucket integer)", 1),
        ("create table t (id text, bucket integer, unique (id)) -- bucket", 1),
        ("CREATE UNIQUE INDEX i ON t (id) where bucket > 0", 1),
        ("create unique index concurrently i on t using btree (id, (lower(bucket)))", 0),
        ("create unique index concurrently if not exists i on t using btree (id)", 1),
        ('create table t (id text collate "C", bucket smallint, primary key (id)) with (fillfactor = 60)', 1),
        ("alter table t add column a bigint; alter table t add constraint c unique (id, bucket)", 0),
        ("alter table t add column a bigint, add constraint c unique (id)", 1),
        ("alter table only t add primary key (id)", 1),
    ],
)
def test_a_key_without_bucket_is_seen(statement, seen):
    assert len(offences(statement)) == seen


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_key_of_a_ledger_table_holds_the_bucket(dialect):
    files = sorted((SQL / dialect).glob("*.sql"))
    assert files
    assert [f"{name_of(path)}: {what}" for path in files for what in offences(path.read_text())] == []


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_directory_is_a_table(dialect):
    sql = without_comments_and_texts("\n".join(path.read_text() for path in (SQL / dialect).glob("*.sql")))
    assert DIRECTORIES.keys() - {name for name, _ in created(sql, r"table\s+(?:if\s+not\s+exists\s+)?(\w+)")} == set()


# Mutations


def test_the_mutations_fit_the_source():
    assert plan_problems(MUTATIONS, ROOT) == []
