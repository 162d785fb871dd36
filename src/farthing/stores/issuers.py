"""Issuers: whose tokens a workspace takes. Each change is an act: one transaction with its audit record."""

from hashlib import sha256
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from farthing.core.people import ClaimNames, Issuer

from .acts import AccessError, Act, Acts, Once
from .reports import Database, Execute, Row
from .statements import statements

MOST: Final = 20
"""Of a workspace: each of them may have to be tried on a token."""
_encode = msgspec.json.Encoder().encode
_claims = msgspec.json.Decoder(ClaimNames)


class Issuers:
    """Reads and writes of whom workspaces trust."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._sql = statements(db.dialect, "issuers")
        self._acts = Acts(db)

    async def all(self) -> list[Issuer]:
        """Those of all workspaces, oldest first: which one verifies a token says whose workspace it is for."""
        return [read_issuer(row) for row in await self._db.rows(self._sql["issuers"])]

    async def of(self, workspace: str) -> list[Issuer]:
        """Those of a workspace, oldest first."""
        return [read_issuer(row) for row in await self._db.rows(self._sql["issuers_of"], (workspace,))]

    async def add(self, issuer: Issuer, act: Act, once: Once | None = None) -> Issuer:
        """Take an issuer's tokens from now on; one that a workspace takes already is refused. The secret does not come
        back, and is in no record of the act: those stay for ever."""
        mark, workspace = mark_of(issuer), issuer.workspace

        async def work(execute: Execute) -> Issuer:
            if taken := await execute(self._sql["issuer_by_mark"], (mark,)):
                raise _taken(issuer, taken[0])
            if len(await execute(self._sql["issuers_of"], (workspace,))) >= MOST:
                raise AccessError(
                    f"the workspace takes tokens of {MOST} issuers, as many as it may have", "issuer_exists"
                )
            await execute(self._sql["insert_issuer"], (*_columns(issuer), mark, issuer.created_at))
            made = replace(issuer, secret="")
            await self._acts.changed(execute, workspace, act, "issuer.add", issuer.id, _detail(made), once, made)
            return made

        return await self._acts.once(once, workspace, "issuer.add", Issuer, work)

    async def remove(self, workspace: str, issuer_id: str, act: Act, once: Once | None = None) -> Issuer:
        """Take its tokens no more, everywhere within a second."""

        async def work(execute: Execute) -> Issuer:
            rows = await execute(self._sql["issuers_of"], (workspace,))
            found = [each for row in rows if (each := read_issuer(row)).id == issuer_id]
            if not found:
                raise AccessError(f"there is no issuer {issuer_id!r}", "issuer_not_found")
            gone = replace(found[0], secret="")
            await execute(self._sql["delete_issuer"], (workspace, issuer_id))
            await self._acts.changed(execute, workspace, act, "issuer.remove", issuer_id, _detail(gone), once, gone)
            return gone

        return await self._acts.once(once, workspace, "issuer.remove", Issuer, work)


def mark_of(issuer: Issuer) -> bytes:
    """What one workspace alone may have: a token that two could verify would be for nobody knows whom."""
    parts = ["secret", issuer.secret] if issuer.algorithm == "HS256" else ["jwks", issuer.issuer, issuer.audience]
    return sha256(_encode(parts)).digest()


def _taken(issuer: Issuer, found: Row) -> AccessError:
    what = "secret" if issuer.algorithm == "HS256" else "issuer and audience"
    where = "this workspace" if found[1] == issuer.workspace else "another workspace"
    return AccessError(f"{where} takes tokens with this {what} already", "issuer_exists", field=what.split()[0])


def _detail(issuer: Issuer) -> dict[str, Any]:
    """What the audit log says of it."""
    detail = {"name": issuer.name, "algorithm": issuer.algorithm, "issuer": issuer.issuer}
    return detail | {"audience": issuer.audience, "jwks_url": issuer.jwks_url}


def _columns(i: Issuer) -> Row:
    claims = _encode(i.claims).decode()
    return (i.id, i.workspace, i.name, i.algorithm, i.issuer, i.audience, i.jwks_url, i.secret, claims)


def read_issuer(row: Row) -> Issuer:
    """An issuer from its row."""
    id, workspace, name, algorithm, issuer, audience, jwks_url, secret, claims, created_at = row
    return Issuer(
        id=id, workspace=workspace, name=name, algorithm=algorithm, issuer=issuer, audience=audience,
        jwks_url=jwks_url, secret=secret, claims=_claims.decode(claims), created_at=created_at,
    )  # fmt: skip
