"""Break the laws one by one and see the tests turn red: `./dev mutate`.

A test that has never failed proves little. Each mutation of tests/mutations.py is put into a copy of the
checkout, never into the checkout itself, and its tests run there. First they run on an unchanged copy and
must be green; with the mutation at least one must fail: an error while collecting, an empty selection, a
time-out or a program that no longer holds together is no proof.
Exit code 0: every mutation was caught. 1: one survived, or there is no proof. 2: the plan itself is wrong.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from xml.etree import ElementTree

from tests.mutations import MUTATIONS, Mutation

ROOT = Path(__file__).resolve().parents[1]
LAWS_TO_BREAK = 5
# Neither the repository's history nor anything that a tool made: the copy starts clean.
LEFT_OUT = (
    ".git",
    ".venv",
    "__pycache__",
    "*.egg-info",
    ".hypothesis",
    ".*_cache",
    "*.db",
    "*.db-*",
    "build",
    "dist",
)
# How a program fails that was broken, not one that broke a law.
BROKEN_PROGRAM = ("AttributeError", "ImportError", "ModuleNotFoundError", "NameError", "UnboundLocalError")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one run of tests: `word` is green, red, or what else; `why` is the first failure."""

    word: str
    failed: int
    seconds: float
    why: str


# The plan


def plan_problems(mutations: Sequence[Mutation], root: Path) -> list[str]:
    """Why the plan can't be carried out or proves too little, one sentence each; empty when it is sound."""
    laws = len({mutation.law for mutation in mutations})
    problems = chosen_problems([mutation.name for mutation in mutations], mutations, root)
    if laws < LAWS_TO_BREAK:
        problems.append(f"tests/mutations.py breaks {laws} laws; {LAWS_TO_BREAK} are promised.")
    if len({mutation.name for mutation in mutations}) < len(mutations):
        problems.append("two mutations have the same name.")
    return problems


def chosen_problems(names: Sequence[str], mutations: Sequence[Mutation], root: Path) -> list[str]:
    """What is wrong with some of the mutations, so that a plan in the making can be tried."""
    named = {mutation.name: mutation for mutation in mutations}
    return [
        f"{name}: {problem}"
        for name in names
        for problem in (mutation_problems(named[name], root) if name in named else ["there is no such mutation."])
    ]


def mutation_problems(mutation: Mutation, root: Path) -> Iterator[str]:
    """What is wrong with one mutation."""
    path = root / mutation.file
    if not path.is_file() or not mutation.file.startswith("src/farthing/"):
        yield f"{mutation.file} is no file of src/farthing."
        return
    text = path.read_text()
    if text.count(mutation.old) != 1:
        yield f"the old text stands {text.count(mutation.old)} times in {mutation.file}, not once."
    if mutation.old == mutation.new:
        yield "the new text is the old one."
    elif path.suffix == ".py" and not compiles(text.replace(mutation.old, mutation.new)):
        yield f"{mutation.file} would not compile; a broken file proves nothing."
    if not mutation.tests:
        yield "it names no tests."
    for test in mutation.tests:
        if not (root / test.partition("::")[0]).exists():
            yield f"{test.partition('::')[0]} does not exist."


def compiles(source: str) -> bool:
    """Whether the text is Python."""
    try:
        compile(source, "mutated", "exec")
    except SyntaxError:
        return False
    return True


# Copies, and tests that run in them


@contextmanager
def tree_copy(root: Path) -> Iterator[Path]:
    """A copy of the checkout, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="farthing-mutate-") as scratch:
        tree = Path(scratch).resolve() / "farthing"
        shutil.copytree(root, tree, ignore=shutil.ignore_patterns(*LEFT_OUT), symlinks=True)
        yield tree


def mutate(tree: Path, mutation: Mutation) -> None:
    """Put the mutation into a copy."""
    path = tree / mutation.file
    path.write_text(path.read_text().replace(mutation.old, mutation.new))


def environment(tree: Path) -> dict[str, str]:
    """The copy's source comes before the checkout's editable install; nothing from outside adds options."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return env | {"PYTHONPATH": str(tree / "src"), "PYTHONDONTWRITEBYTECODE": "1"}


def imported_from(tree: Path) -> Path:
    """The file that `import farthing` finds in a test run of the copy."""
    program = [sys.executable, "-c", "import farthing; print(farthing.__file__)"]
    found = subprocess.run(program, cwd=tree, env=environment(tree), capture_output=True, text=True, check=True)
    return Path(found.stdout.strip()).resolve()


def run_tests(tree: Path, tests: Sequence[str], timeout: float, *options: str) -> Verdict:
    """Run the tests in the copy and judge them by their exit code and their report."""
    found = imported_from(tree)
    if not found.is_relative_to(tree):
        return Verdict("tests of another tree", 0, 0, f"farthing was imported from {found}")
    report = tree.parent / "report.xml"
    pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
    command = [*pytest, *options, *tests]
    started = time.monotonic()
    code, output = run_to_end(command, tree, timeout)
    return judge(code, output, report, time.monotonic() - started)


def run_to_end(command: Sequence[str], tree: Path, timeout: float) -> tuple[int | None, str]:
    """Exit code and output; None for a run that had to be ended. What the tests started ends with them."""
    # The output goes to a file: a server that outlives its test would keep a pipe open.
    log = tree.parent / "output.txt"
    with log.open("w") as output:
        running = subprocess.Popen(
            command,
            cwd=tree,
            env=environment(tree),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = running.wait(timeout)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            end_group(running.pid)
            running.wait()
    return code, log.read_text(errors="replace")


def end_group(group: int) -> None:
    """End what is left of a process group."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def judge(code: int | None, output: str, report: Path, seconds: float) -> Verdict:
    """Red only when pytest says that tests failed, and its report names at least one."""
    if code is None:
        return Verdict("timed out", 0, seconds, last_line(output))
    if code not in (0, 1) or not report.exists():
        return Verdict(f"no verdict, pytest's exit code was {code}", 0, seconds, last_line(output))
    cases = list(ElementTree.parse(report).getroot().iter("testcase"))
    failures = [(case, failure) for case in cases for failure in case.iter("failure")]
    if code == 0:
        ran = sum(case.find("skipped") is None for case in cases)
        return Verdict("green" if ran else "no test ran", 0, seconds, f"{ran} tests passed")
    if not failures:
        return Verdict("errors instead of failures", 0, seconds, last_line(output))
    case, failure = failures[0]
    message = (failure.get("message") or "").partition("\n")[0]
    word = "broken program" if message.startswith(BROKEN_PROGRAM) else "red"
    return Verdict(word, len(failures), seconds, f"{case.get('name')}: {message}"[:160])


def last_line(output: str) -> str:
    """The last line that says something."""
    return next((line for line in reversed(output.splitlines()) if line.strip()), "no output")[:160]


# The run and its report


def baseline(mutations: Sequence[Mutation], timeout: float) -> Verdict:
    """All the tests of the plan on an unchanged copy."""
    tests = dict.fromkeys(test for mutation in mutations for test in mutation.tests)
    with tree_copy(ROOT) as tree:
        return run_tests(tree, list(tests), timeout * len(mutations))


def try_mutation(mutation: Mutation, timeout: float) -> Verdict:
    """The mutation's own tests on a copy that has it; the first failure is enough."""
    with tree_copy(ROOT) as tree:
        mutate(tree, mutation)
        return run_tests(tree, mutation.tests, timeout, "--exitfirst")


def say(text: str) -> None:
    """Progress, on standard error."""
    print(text, file=sys.stderr, flush=True)


def write_table(unmutated: Verdict, verdicts: Sequence[tuple[Mutation, Verdict]]) -> str:
    """The result for people."""
    lines = [f"unmutated: {unmutated.word} ({unmutated.why}, {unmutated.seconds:.1f} s)"]
    for mutation, verdict in verdicts:
        caught = "caught" if verdict.word == "red" else f"NOT CAUGHT ({verdict.word})"
        lines += [
            f"{caught}: {mutation.name} [law {mutation.law}]",
            f"    {verdict.seconds:.1f} s; {verdict.why}",
        ]
    red = sum(verdict.word == "red" for _, verdict in verdicts)
    return "\n".join([*lines, f"{red} of {len(verdicts)} mutations turned the tests red."])


def write_json(unmutated: Verdict, verdicts: Sequence[tuple[Mutation, Verdict]]) -> str:
    """The result for programs."""
    rows = [
        {"name": mutation.name, "law": mutation.law, "caught": verdict.word == "red"} | asdict(verdict)
        for mutation, verdict in verdicts
    ]
    return json.dumps({"unmutated": asdict(unmutated), "mutations": rows}, indent=2)


def read_arguments(words: Sequence[str] | None) -> argparse.Namespace:
    """What the caller asked for."""
    parser = argparse.ArgumentParser(prog="./dev mutate", description="Break the laws one by one; each must be seen.")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="this mutation (may be repeated)")
    parser.add_argument("--timeout", type=float, default=300, metavar="SECONDS", help="for one mutation's tests")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    """Carry out the plan."""
    arguments = read_arguments(words)
    only = arguments.only
    problems = chosen_problems(only, MUTATIONS, ROOT) if only else plan_problems(MUTATIONS, ROOT)
    if problems:
        say("\n".join(f"mutate: {problem}" for problem in problems))
        return 2
    chosen = [mutation for mutation in MUTATIONS if not only or mutation.name in only]
    say(f"mutate: the tests of {len(chosen)} mutations on an unchanged copy")
    unmutated = baseline(chosen, arguments.timeout)
    verdicts = []
    if unmutated.word == "green":
        for mutation in chosen:
            say(f"mutate: {mutation.name}")
            verdicts.append((mutation, try_mutation(mutation, arguments.timeout)))
    write = write_json if arguments.json else write_table
    print(write(unmutated, verdicts))
    return 0 if verdicts and all(verdict.word == "red" for _, verdict in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
