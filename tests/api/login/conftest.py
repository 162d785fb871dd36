"""A server with two workspaces that both have a login service: `main` at its address, `other` at a host name; it stands
behind one proxy, so that each visitor may have an address of his own."""

from collections.abc import Iterator

import pytest

from farthing import serving
from farthing.identity.passwords import Passwords
from tests.api.login.visitors import CHEAP, OTHER_HOST, Visitor, signed_in
from tests.api.serving import ME, Server, wait_for
from tests.postgres import TEMPLATE


@pytest.fixture(scope="module")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    postgres = getattr(request, "param", "sqlite") == "postgres"
    url = request.getfixturevalue("databases").make(TEMPLATE, keep=True) if postgres else ""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serving, "Passwords", lambda: Passwords(CHEAP))
        server = Server(tmp_path_factory.mktemp("served"), url=url, trusted_proxies=1)
    with server:
        for workspace, host in (("main", "127.0.0.1"), ("other", OTHER_HOST)):
            server.run(server.ledger.access.change_settings(workspace, {"login_host": host}, ME))
        wait_for(lambda: Visitor(server).post("login").status == 400)
        yield server


@pytest.fixture
def visitor(server: Server) -> Visitor:
    """Somebody from an address that nobody else comes from."""
    return Visitor(server)


@pytest.fixture(scope="module")
def admin(server: Server) -> Visitor:
    """An admin who has signed in; no test ends his session."""
    return signed_in(server, "admin")[0]
