"""A PostgreSQL that may forget what it has committed: `/readyz` says so, doctor says so, an operator may accept it."""

from typing import Any

from farthing.doctor import examine
from farthing.stores.postgres_sync import SyncConnection
from tests.hammer import Server, run_farthing, serving
from tests.postgres import OWNER, SETTINGS, Databases, cluster


def alter(url: str, what: str, to: str) -> None:
    """Change a setting for sessions to come, of the database or of our user in it."""
    database = f'database "{Databases.name_of(url)}"'
    target = {"database": database, "user": f"role {OWNER} in {database}"}[what]
    with SyncConnection(url) as db:
        db.execute(f"alter {target} set {to}")


def ready(server: Server) -> tuple[int, Any]:
    status, told = server.get("/readyz")
    return status, told["checks"]["database"]


REASON = "synchronous_commit is off: a power cut could take back what was answered; mend it, or set allow_unsafe"


def test_commits_that_are_not_waited_for_make_a_server_not_ready_even_while_it_runs(postgres_url: str):
    """Its sessions keep their settings, but the one that follows a lost one would not."""
    with serving(postgres_url, 1) as [server]:
        assert ready(server) == (200, "ok")
        alter(postgres_url, "database", "synchronous_commit = off")
        assert ready(server) == (503, REASON)
        # That of our user overrules that of the database.
        alter(postgres_url, "user", "synchronous_commit = on")
        assert ready(server) == (200, "ok")
        alter(postgres_url, "database", "synchronous_commit = on")
        alter(postgres_url, "user", "synchronous_commit = off")
        assert ready(server) == (503, REASON)


def test_a_server_that_begins_so_is_not_ready_unless_it_was_told_that_this_is_allowed(postgres_url: str):
    alter(postgres_url, "database", "synchronous_commit = false")
    with serving(postgres_url, 1) as [server], serving(postgres_url, 1, ["--allow-unsafe"]) as [allowed]:
        assert ready(server) == (503, REASON)
        assert ready(allowed) == (200, "ok")
        assert server.get("/livez")[0] == 200
    assert ["synchronous_commit" in finding.sentence for finding in examine(postgres_url).findings] == [True]


def test_a_server_of_postgres_that_never_flushes_makes_ours_not_ready():
    with cluster(settings={**SETTINGS, "fsync": "off", "full_page_writes": "off"}, database="ledger") as made:
        run_farthing("init", "--db", made.dsn)
        with serving(made.dsn, 1) as [server]:
            status, sentence = ready(server)
            assert status == 503
            assert sentence.startswith("fsync is off and full_page_writes is off: ")
