"""Administration: API keys, issuers of tokens, users and workspaces.

Made from `aio/administration.py` by `python -m tests.client.twin`: change that, not this.
"""

from collections.abc import Iterable, Mapping
from datetime import timedelta

from ..admin_results import ApiKey, Issuer, MadeKey, RotatedKey, User, WorkspaceLine
from ..calls import delete, get, post
from ..forms import Page
from ..values import Instant, instant_text, seconds
from .door import Door
from .pages import Pages


class Keys:
    """API keys of the workspace, with which others come over HTTP."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def list(self) -> Pages[ApiKey]:
        """All keys, oldest first, ended ones included; none of them can be shown again."""
        return Pages(self._door, get(Page[ApiKey], "/v1/keys"))

    def get(self, id: str) -> ApiKey:
        """One key; all but the key itself."""
        return self._door.ask(get(ApiKey, "/v1/keys/{id}", id=id))

    def create(
        self, scopes: Iterable[str], *, name: str | None = None, expires_at: Instant | None = None,
        dry_run: bool | None = None, key: str | None = None,
    ) -> MadeKey:  # fmt: skip
        """Make a key with scopes of read, charge, grant and admin. Its `api_key` is told this once: where the answer
        is lost and the repeat has none, revoke it and make another."""
        body = {
            "scopes": list(scopes), "name": name, "expires_at": instant_text(expires_at, "expires_at"),
            "dry_run": dry_run,
        }  # fmt: skip
        return self._door.ask(post(MadeKey, "/v1/keys", body, key))

    def rotate(
        self, id: str, *, overlap: timedelta | int | None = None, dry_run: bool | None = None, key: str | None = None
    ) -> RotatedKey:  # fmt: skip
        """Replace a key: a new one with its name and scopes; the old one works on for `overlap`, a day by default."""
        body = {"overlap_seconds": seconds(overlap, "overlap"), "dry_run": dry_run}
        return self._door.ask(post(RotatedKey, "/v1/keys/{id}/rotate", body, key, id=id))

    def revoke(self, id: str, *, dry_run: bool | None = None, key: str | None = None) -> ApiKey:
        """End a key now: every process refuses it within a second."""
        return self._door.ask(post(ApiKey, "/v1/keys/{id}/revoke", {"dry_run": dry_run}, key, id=id))


class Issuers:
    """Issuers whose tokens the workspace takes beside API keys."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def list(self) -> Pages[Issuer]:
        """All of them, oldest first; a secret is never shown."""
        return Pages(self._door, get(Page[Issuer], "/v1/issuers"))

    def add(
        self, *, preset: str | None = None, domain: str | None = None, algorithm: str | None = None,
        issuer: str | None = None, audience: str | None = None, jwks_url: str | None = None,
        secret: str | None = None, claims: Mapping[str, str | None] | None = None, name: str | None = None,
        dry_run: bool | None = None, key: str | None = None,
    ) -> Issuer:  # fmt: skip
        """Take the tokens of an issuer: by a `preset` and your `domain` there; by `algorithm`, `issuer`, `audience` and
        `jwks_url`; or by a `secret` that is shared with it."""
        body = {
            "preset": preset, "domain": domain, "algorithm": algorithm, "issuer": issuer, "audience": audience,
            "jwks_url": jwks_url, "secret": secret, "claims": claims, "name": name, "dry_run": dry_run,
        }  # fmt: skip
        return self._door.ask(post(Issuer, "/v1/issuers", body, key))

    def remove(self, id: str, *, dry_run: bool | None = None, key: str | None = None) -> Issuer:
        """Take its tokens no more; every process refuses them within a second."""
        return self._door.ask(delete(Issuer, "/v1/issuers/{id}", {"dry_run": dry_run}, key, id=id))


class Users:
    """Users of the workspace: people, who are changed at the login service."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def list(self) -> Pages[User]:
        """All users, oldest first."""
        return Pages(self._door, get(Page[User], "/v1/users"))

    def get(self, id: str) -> User:
        """One user, by the id."""
        return self._door.ask(get(User, "/v1/users/{id}", id=id))


class Workspaces:
    """Workspaces of the deployment. Over HTTP they are for operators, whose key belongs to none of them."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def list(self) -> Pages[WorkspaceLine]:
        """All workspaces, in the order of their ids."""
        return Pages(self._door, get(Page[WorkspaceLine], "/v1/workspaces"))

    def get(self, workspace: str) -> WorkspaceLine:
        """One workspace."""
        return self._door.ask(get(WorkspaceLine, "/v1/workspaces/{workspace}", workspace=workspace))

    def create(
        self, id: str, *, name: str | None = None, mode: str | None = None, unit: str | None = None,
        scale: int | None = None, dry_run: bool | None = None, key: str | None = None,
    ) -> WorkspaceLine:  # fmt: skip
        """Make a workspace. What it counts (`unit`) and with how many decimals (`scale`) stays for ever."""
        body = {"id": id, "name": name, "mode": mode, "unit": unit, "scale": scale, "dry_run": dry_run}
        return self._door.ask(post(WorkspaceLine, "/v1/workspaces", body, key))

    def first_key(
        self, workspace: str, scopes: Iterable[str], *, name: str | None = None, expires_at: Instant | None = None,
        dry_run: bool | None = None, key: str | None = None,
    ) -> MadeKey:  # fmt: skip
        """Make the first API key of a workspace, which has none yet; its own keys make the others."""
        body = {
            "scopes": list(scopes), "name": name, "expires_at": instant_text(expires_at, "expires_at"),
            "dry_run": dry_run,
        }  # fmt: skip
        path = "/v1/workspaces/{workspace}/keys"
        return self._door.ask(post(MadeKey, path, body, key, workspace=workspace))
