"""What deploying rests on, as far as it can be seen without a container or a system of units."""

import configparser
import json
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import msgspec
import pytest

from farthing.settings import PREFIX, Settings

ROOT = Path(__file__).parents[1]
UNIT = ROOT / "deploy" / "farthing.service"
SERVICE = """
Type User Group Environment EnvironmentFile ExecStart ExecReload KillMode KillSignal TimeoutStopSec Restart
RestartSec StateDirectory StateDirectoryMode WorkingDirectory UMask LimitNOFILE NoNewPrivileges
CapabilityBoundingSet AmbientCapabilities ProtectSystem ProtectHome PrivateTmp PrivateDevices ProtectProc ProcSubset
ProtectClock ProtectHostname ProtectControlGroups ProtectKernelLogs ProtectKernelModules ProtectKernelTunables
RestrictAddressFamilies RestrictNamespaces RestrictRealtime RestrictSUIDSGID LockPersonality MemoryDenyWriteExecute
RemoveIPC SystemCallArchitectures SystemCallFilter SystemCallErrorNumber RestartForceExitStatus
"""
KNOWN = {
    "Unit": {"Description", "After", "Wants", "StartLimitIntervalSec"},
    "Service": set(SERVICE.split()),
    "Install": {"WantedBy"},
}


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's, comments left out and continued lines put together."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in text.splitlines() if line)]


def said(word: str) -> list[str]:
    return [rest for each, rest in instructions() if each == word]


def sources() -> list[str]:
    """What is copied from the checkout into the image."""
    return [name for rest in said("COPY") if not rest.startswith("--from=") for name in rest.split()[:-1]]


def is_sent(name: str) -> bool:
    """Whether the .dockerignore lets a path of the checkout through: the last rule that fits counts."""
    sent = True
    for rule in (ROOT / ".dockerignore").read_text().splitlines():
        if rule and not rule.startswith("#"):
            pattern = rule.lstrip("!")
            paths = [name, *(str(parent) for parent in Path(name).parents if str(parent) != ".")]
            if any(fnmatch(path, pattern) or fnmatch(path, pattern.removeprefix("**/")) for path in paths):
                sent = rule.startswith("!")
    return sent


def test_all_that_the_image_is_made_of_is_there_and_sent():
    assert sources()
    for name in sources():
        assert (ROOT / name).exists(), name
        assert is_sent(name), name


@pytest.mark.parametrize(
    "name", ["farthing.db", "src/ledger.db-wal", "src/farthing/__pycache__", ".git", "tests", "dev"]
)
def test_ledgers_caches_and_history_are_not_sent(name):
    assert not is_sent(name)


def test_what_is_copied_is_enough_to_build_from(tmp_path):
    for name in sources():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, tmp_path / name)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "made"]
    subprocess.run(build, cwd=tmp_path, check=True, capture_output=True)
    assert len(list((tmp_path / "made").glob("farthing-*.whl"))) == 1


def test_the_image_is_a_plain_name_and_a_slim_debian_of_a_python_that_the_project_supports():
    bases = {rest.split()[0] for rest in said("FROM")}
    assert len(bases) == 1
    assert re.fullmatch(r"python:3\.1[1-9]-slim-\w+", bases.pop())
    assert "://" not in re.sub(r"http://127\.0\.0\.1|\w+:///", "", "\n".join(rest for _, rest in instructions()))


def test_the_image_pins_by_hash_runs_without_rights_and_gets_its_signals():
    assert any("--require-hashes" in rest and "requirements/run.lock" in rest for rest in said("RUN"))
    assert said("USER") == ["10001"]
    for rest in said("ENTRYPOINT") + said("CMD") + said("RUN") + said("VOLUME"):
        assert isinstance(json.loads(rest), list), rest
    assert json.loads(said("ENTRYPOINT")[0]) == ["farthing"]
    (health,) = said("HEALTHCHECK")
    assert "/readyz" in json.loads(health.partition("CMD ")[2])[-1]


def names_of_settings(text: str) -> set[str]:
    return {name.removeprefix(PREFIX).lower() for name in re.findall(rf"\b({PREFIX}\w+)=", text)}


@pytest.mark.parametrize("file", ["Dockerfile", "deploy/farthing.service"])
def test_every_variable_that_is_set_is_a_setting(file):
    named = names_of_settings((ROOT / file).read_text())
    assert named
    assert named <= {field.name for field in msgspec.structs.fields(Settings)}


class Twice(dict):
    """Keys that a unit may have several times."""

    def __setitem__(self, key, value):
        if key in self and isinstance(value, list):
            self[key].extend(value)
        else:
            super().__setitem__(key, value)


def unit() -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=False, dict_type=Twice)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(UNIT)
    return parser


def test_the_unit_has_only_words_that_systemd_knows():
    parser = unit()
    assert parser.sections() == list(KNOWN)
    for section, known in KNOWN.items():
        assert set(parser[section]) - known == set()


def test_the_unit_passes_systemd_where_it_is_there(tmp_path):
    if shutil.which("systemd-analyze") is None:
        assert unit()["Service"]["Type"] == "exec"
        return
    # Farthing is not installed where its tests run.
    draft = tmp_path / UNIT.name
    draft.write_text(UNIT.read_text().replace("/opt/farthing/bin/farthing", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", draft], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_unit_leaves_the_server_the_time_that_it_takes_to_finish():
    from farthing.server.workers import END_SECONDS

    assert int(unit()["Service"]["TimeoutStopSec"]) > END_SECONDS + 5
    assert "--stop-timeout 20" in (ROOT / "Dockerfile").read_text()
