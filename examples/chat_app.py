"""A chat that sells its answers: the whole of it, with its ledger in a file beside it.

    pip install 'farthing[server,llm]' fastapi openai anthropic
    python examples/chat_app.py

Open the page that it names. Stand-ins play the providers of models and Stripe; with OPENAI_API_KEY or ANTHROPIC_API_KEY
the models are real. The same program runs against a server, by the prices and products that are there:

    FARTHING_URL=https://credits.example.com FARTHING_API_KEY=cs_live_... python examples/chat_app.py

An answer costs what the model's provider says it used: held for before and charged after, also where it breaks off or
its reader leaves. Who has no credits gets 402, and where to buy some. Guests get short answers for nothing.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import anthropic
import openai
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse
from pydantic import BaseModel, Field

import farthing
from farthing.fakes import models, stripe
from farthing.llm import MeteredApp, Refusal, Tab, meter

URL = os.environ.get("FARTHING_URL", "sqlite:///chat.db")
PORT = int(os.environ.get("PORT", "8000"))
PAGE = Path(__file__).with_suffix(".html")
PRODUCT = "chat"
SERVE = ("farthing", "serve", "--port", "0")
WELCOME = "1.1"
LONGEST, GUESTS_LONGEST = 400, 30  # tokens of an answer
CARD = {  # a credit is a cent
    "rules": [
        {"id": f"{model}/{what}", "dimension": f"{what}_tokens", "price": price, "per": 1000, "match": {"model": model}}
        for model, read, written in (("gpt-4o", "0.25", "1"), ("claude-haiku-4-5", "0.1", "0.5"))
        for what, price in (("input", read), ("output", written))
    ]
}
PACKS: list[dict[str, Any]] = [
    {"id": "small", "name": "100 credits", "credits": 100, "price": "1.00", "currency": "USD"},
    {"id": "large", "name": "1,000 credits", "credits": 1000, "price": "8.00", "currency": "USD"},
]


# Who it is


def user_of(scope: Any) -> str | None:
    """Whose account a request is for; nobody's, of a guest. Here goes your own login: anybody can set this cookie."""
    name = Request(scope).cookies.get("user", "")
    return f"user-{name}" if re.fullmatch("[a-z0-9-]{1,30}", name) else None


async def purchase_options(scope: Any, refusal: Refusal) -> dict[str, Any]:
    """What goes into a 402 beside the balance: pages on which this account can buy credits."""
    if refusal.status != 402 or refusal.account is None:
        return {}
    home = str(Request(scope).base_url)
    found = await app.state.ledger.purchases.links(refusal.account, PRODUCT, success_url=home, cancel_url=home)
    return {
        "purchase": [
            {"label": link.label, "url": link.url} for link in found.links if link.url and link.type == "topup"
        ]
    }


# The application


@asynccontextmanager
async def life(app: FastAPI) -> AsyncIterator[None]:
    """All that is open while the application runs."""
    async with AsyncExitStack() as opened:
        # A ledger that is away breaks no answer: what it is to charge then waits in the journal.
        opening = farthing.aconnect(URL, on_unavailable="queue", journal="chat-journal")
        ledger = app.state.ledger = await opened.enter_async_context(opening)
        gpt = await opened.enter_async_context(openai.AsyncOpenAI())
        claude = await opened.enter_async_context(anthropic.AsyncAnthropic())
        app.state.gpt, app.state.claude = meter(gpt, ledger=ledger), meter(claude, ledger=ledger)
        yield


app = FastAPI(lifespan=life)
app.add_middleware(
    MeteredApp, ledger=lambda scope: app.state.ledger, account=user_of, costs="/chat", floor="0.01",
    more=purchase_options, service="chat",
)  # fmt: skip


class Question(BaseModel):
    """What is asked of a model."""

    model: Literal["gpt-4o", "claude-haiku-4-5"] = "gpt-4o"
    text: str = Field(min_length=1, max_length=4000)


@app.post("/chat")
async def chat(question: Question, request: Request) -> StreamingResponse:
    # Who comes here has the floor at least, or is a guest: the rest gets 402 before.
    return StreamingResponse(events(question, request.scope["farthing"]), media_type="text/event-stream")


async def events(question: Question, tab: Tab) -> AsyncIterator[str]:
    """The answer as it comes, and then what it has cost. Who can't pay for it still gets 402, since nothing was sent
    when the model is asked."""
    try:
        async for text in answer(question, GUESTS_LONGEST if tab.account is None else LONGEST):
            yield event(text=text)
    except (openai.APIError, anthropic.APIError):
        yield event(error="The answer broke off. You pay for what came of it.")
    # The page waits for this, and no answer does.
    await tab.asettled()
    yield event(charged=str(tab.charged), balance=shown(tab.balance), level=tab.level)


async def answer(question: Question, longest: int) -> AsyncIterator[str]:
    """The model's words. Which account pays is known by the request."""
    asked: Any = {"model": question.model, "messages": [{"role": "user", "content": question.text}]}
    if question.model.startswith("claude"):
        async with app.state.claude.messages.stream(**asked, max_tokens=longest) as stream:
            async for text in stream.text_stream:
                yield text
    else:
        asked |= {"max_completion_tokens": longest, "stream": True}
        async with await app.state.gpt.chat.completions.create(**asked) as chunks:
            async for chunk in chunks:
                yield chunk.choices[0].delta.content or ""


def event(**said: Any) -> str:
    """One event of the stream."""
    return f"data: {json.dumps(said)}\n\n"


class Name(BaseModel):
    """Who somebody says he is."""

    name: str = Field(pattern="^[a-z0-9-]{1,30}$")


@app.post("/login")
async def login(who: Name, response: Response) -> dict[str, Any]:
    account = f"user-{who.name}"
    # The key makes it once for each user, however often he comes.
    await app.state.ledger.grant(account, WELCOME, category="promotional", key=f"welcome:{account}")
    response.set_cookie("user", who.name, httponly=True, samesite="lax")
    return await standing(account)


@app.get("/me")
async def me(request: Request) -> dict[str, Any]:
    return await standing(user_of(request.scope))


async def standing(account: str | None) -> dict[str, Any]:
    """What an account has, and how near its end that is."""
    if account is None:
        return {"user": None}
    found = await app.state.ledger.balance(account)
    return {"user": account, "balance": shown(found.balance), "level": found.level}


@app.get("/history")
async def history(request: Request) -> list[dict[str, str]]:
    account = user_of(request.scope)
    charges = (await app.state.ledger.charges.list(account, limit=20).first()).data if account else []
    return [{"amount": shown(charge.amount), "because": explained(charge)} for charge in charges]


@app.exception_handler(farthing.AccountNotFound)
async def forgotten(request: Request, error: Exception) -> Response:
    """The cookie is older than the ledger."""
    return JSONResponse({"user": None}, 404)


def explained(charge: Any) -> str:
    """How a charge came about: what was used at which price, how the answer has ended, and by whose figures."""
    lines = [line for line in charge.price.lines if line.dimension] if charge.price else []
    used = " + ".join(f"{shown(each.quantity)} {each.dimension} at {shown(each.price)}/{each.per}" for each in lines)
    how = (charge.metadata or {}).get("metering", {})
    return f"{charge.usage.model}: {used}; {how.get('ended')}, by the figures of: {how.get('charged_by')}"


def shown(amount: Any) -> str:
    return "?" if amount is None else f"{amount:f}"


@app.get("/")
async def page() -> HTMLResponse:
    return HTMLResponse(PAGE.read_text())


# What stands in for the world


@contextmanager
def stand_ins() -> Iterator[tuple[str, str]]:
    """Providers of models where there is no key for them; and for a ledger in a file prices, products, a Stripe that
    takes no money, and the server to which that tells of payments. Their addresses, by which they can be controlled."""
    with ExitStack() as world:
        provider = world.enter_context(models.running())
        for name, url in (("OPENAI", f"{provider.url}/v1"), ("ANTHROPIC", provider.url)):
            if f"{name}_API_KEY" not in os.environ:
                os.environ |= {f"{name}_API_KEY": "any", f"{name}_BASE_URL": url}
                print(f"{name}: a stand-in at {provider.url}", flush=True)
        shop = ""
        if "FARTHING_URL" not in os.environ:
            shop = world.enter_context(selling())
            print(f"Stripe: a stand-in at {shop}", flush=True)
        yield provider.url, shop


@contextmanager
def selling() -> Iterator[str]:
    """A Stripe for the ledger in the file; its address."""
    farthing.connect(URL).close()  # it is made
    environment = {**os.environ, "FARTHING_DATABASE_URL": URL}
    with subprocess.Popen(SERVE, env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().split()[-1]
            key, hook = "sk_live_fake", f"{address}/webhooks/stripe/main"
            options = stripe.Options(keys=(key,), webhook=hook)
            with stripe.running(options) as shop, farthing.connect(URL) as ledger:
                ledger.rate_cards.put(CARD, reason="As the example has it")
                ledger.products.put(PRODUCT, top_ups=PACKS)
                ledger.providers.put("stripe", api_key=key, base_url=shop.url, webhook_secrets=options.secrets)
                yield shop.url
        finally:
            server.terminate()


if __name__ == "__main__":
    # However the program is ended, what it has started ends with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with suppress(KeyboardInterrupt), stand_ins():
        print(f"Open http://127.0.0.1:{PORT}", flush=True)
        uvicorn.run(app, port=PORT, log_level="warning")
