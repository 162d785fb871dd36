"""Owns the baseline's HTTP face: FastAPI with the CountWerk shapes, a hashed and cached API key, one error form."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import asyncpg
from fastapi import Depends, FastAPI, Header, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from bench.baseline import store
from bench.baseline.models import (
    AddAnswer,
    AddRequest,
    BalanceAnswer,
    BalanceRequest,
    DeductAnswer,
    DeductRequest,
    timestamp,
)
from bench.baseline.store import Refused

KEY_TTL_SECONDS = 1.0  # a revoked key works no longer than this
CODES = {
    "account_id": ("MISSING_ACCOUNT_ID", "INVALID_INPUT"),
    "operation": ("MISSING_OPERATION", "INVALID_OPERATION"),
    "amount": ("INVALID_AMOUNT", "INVALID_AMOUNT"),
    "usage_event_id": ("MISSING_USAGE_EVENT_ID", "INVALID_USAGE_EVENT_ID"),
    "source": ("MISSING_SOURCE", "INVALID_SOURCE"),
}


class Keys:
    """API keys by their SHA-256, each remembered for a second."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._known: dict[str, tuple[float, int, frozenset[str]]] = {}

    async def workspace(self, key: str | None, scope: str) -> int:
        """The workspace that this key opens, if it may do what `scope` names."""
        if not key:
            raise Refused(401, "API_KEY_MISSING", "Send your API key in the header X-API-Key.")
        known = self._known.get(key)
        if known is None or known[0] < time.monotonic():
            found = await store.find_api_key(self._pool, hashlib.sha256(key.encode()).digest())
            if found is None:
                self._known.pop(key, None)
                raise Refused(401, "INVALID_API_KEY", "This API key is unknown or was revoked.")
            known = self._known[key] = (time.monotonic() + KEY_TTL_SECONDS, *found)
        if scope not in known[2]:
            raise Refused(403, "FORBIDDEN", f"This API key lacks the scope {scope!r}.")
        return known[1]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the pool before the first request, close it after the last."""
    size = int(os.environ["BASELINE_POOL"])

    async def keep(_: asyncpg.Connection) -> None:
        """No session state is ever set here, so a returned connection needs no statement that resets it."""

    async with asyncpg.create_pool(os.environ["BASELINE_DSN"], min_size=size, max_size=size, reset=keep) as pool:
        app.state.pool = pool
        app.state.keys = Keys(pool)
        yield


app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)


async def charger(request: Request, x_api_key: Annotated[str | None, Header()] = None) -> int:
    """The workspace of a key that may charge."""
    workspace: int = await request.app.state.keys.workspace(x_api_key, "charge")
    return workspace


async def granter(request: Request, x_api_key: Annotated[str | None, Header()] = None) -> int:
    """The workspace of a key that may grant."""
    workspace: int = await request.app.state.keys.workspace(x_api_key, "grant")
    return workspace


async def reader(request: Request, x_api_key: Annotated[str | None, Header()] = None) -> int:
    """The workspace of a key that may read."""
    workspace: int = await request.app.state.keys.workspace(x_api_key, "read")
    return workspace


@app.post("/api/credits/deduct", response_model_exclude_none=True)
async def deduct(request: Request, body: DeductRequest, workspace: Annotated[int, Depends(charger)]) -> DeductAnswer:
    """Charge an account for a usage."""
    return DeductAnswer(data=await store.deduct(request.app.state.pool, workspace, body))


@app.post("/api/credits/add")
async def add(request: Request, body: AddRequest, workspace: Annotated[int, Depends(granter)]) -> AddAnswer:
    """Credit a purchase."""
    return AddAnswer(data=await store.add(request.app.state.pool, workspace, body))


@app.post("/api/credits/balance")
async def balance(request: Request, body: BalanceRequest, workspace: Annotated[int, Depends(reader)]) -> BalanceAnswer:
    """What an account holds."""
    return BalanceAnswer(data=await store.balance(request.app.state.pool, workspace, body.account_id))


@app.get("/livez")
async def livez() -> dict[str, str]:
    """Answers as soon as the pool is open."""
    return {"status": "ok"}


def _failure(status: int, code: str, message: str, data: dict[str, Any] | None = None) -> JSONResponse:
    body = {"success": False, "code": code, "message": message, "timestamp": timestamp()}
    return JSONResponse(body | ({"data": data} if data else {}), status)


@app.exception_handler(Refused)
async def on_refused(_: Request, refused: Refused) -> JSONResponse:
    """A refusal in the contract's form."""
    return _failure(refused.status, refused.code, refused.message, refused.data)


@app.exception_handler(RequestValidationError)
async def on_invalid(_: Request, invalid: RequestValidationError) -> JSONResponse:
    """Bad input: the code of the first field that is wrong."""
    problem = invalid.errors()[0]
    field = str(problem["loc"][1]) if len(problem["loc"]) > 1 else ""
    missing, wrong = CODES.get(field, ("INVALID_INPUT", "INVALID_INPUT"))
    code = missing if problem["type"] == "missing" else wrong
    return _failure(400, code, f"{field or 'body'}: {problem['msg']}")


@app.exception_handler(HTTPException)
async def on_http(_: Request, error: HTTPException) -> JSONResponse:
    """Unknown paths and methods."""
    return _failure(error.status_code, "INVALID_INPUT", str(error.detail))


@app.exception_handler(Exception)
async def on_bug(_: Request, __: Exception) -> JSONResponse:
    """What nobody foresaw; the transaction was rolled back."""
    return _failure(500, "INTERNAL_ERROR", "Something went wrong here; nothing was done.")
