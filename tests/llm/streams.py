"""Many streams at once, of which a third are cut: the ledger is what the provider's books say, to the unit.

The long form is `./dev soak streams`; a short one is a test.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai

import farthing
from farthing.fakes.models import Remote
from farthing.llm import asettled, meter, metering
from tests.llm.ledgers import CARD, worth
from tests.llm.vendors import Way, asking

WAYS: tuple[Way, ...] = ("chat", "responses", "messages")
POLICY = {"no_output": "charge"}
"""What the stand-in bills for, too."""
_BREAKS = (openai.OpenAIError, anthropic.AnthropicError, httpx2.HTTPError)


async def storm(folder: Path, models: Remote, streams: int, seed: int, say: Callable[[str], None]) -> Counter[str]:
    """Run so many streams at once, by all libraries, and compare; how they have ended."""
    rng = random.Random(seed)
    models.post("habits", cut_share=1 / 3)
    before = models.get("state")["calls"]
    http = httpx2.AsyncClient(verify=False, limits=httpx2.Limits(max_connections=None), timeout=300)
    accounts = [f"account-{number}" for number in range(max(1, streams // 10))]
    async with farthing.aconnect(f"sqlite:///{folder}/credits.db") as ledger, http:
        await ledger.rate_cards.put(CARD, reason="The first")
        for account in accounts:
            await ledger.grant(account, 1_000_000)
        given: dict[str, Any] = {"ledger": ledger, "policy": POLICY}
        vendor: dict[str, Any] = {"api_key": "k", "max_retries": 0, "http_client": http}
        metered: dict[str, Any] = {
            "openai": meter(openai.AsyncOpenAI(base_url=f"{models.url}/v1", **vendor), **given),
            "anthropic": meter(anthropic.AsyncAnthropic(base_url=models.url, **vendor), **given),
        }
        asked = [(rng.choice(WAYS), rng.choice(accounts), f"Question {rng.randrange(streams)}") for _ in range(streams)]
        ended = Counter(await asyncio.gather(*[_one(metered, *each) for each in asked]))
        assert await asettled(ledger, 300)
        say(f"streams: {streams} at once have ended, {ended['cut']} of them cut")
        held = [account for account in accounts if (await ledger.balance(account)).held]
        assert held == [], f"holds are left of {held}"
        charged = [charge for account in accounts async for charge in ledger.charges.list(account)]
    await asyncio.to_thread(models.get, "idle")
    compare(charged, models.get("books", after=str(before))["calls"], asked)
    return ended


async def _one(metered: dict[str, Any], way: Way, account: str, text: str) -> str:
    call, given = asking(metered["openai"], metered["anthropic"], way, text=text)
    with metering(account=account):
        try:
            async for _ in await call(**given, stream=True):
                pass
        except _BREAKS:
            return "cut"
    return "finished"


def compare(charged: list[Any], calls: list[dict[str, Any]], asked: list[tuple[Way, str, str]]) -> None:
    """Each call of the books was charged once, and for what it is billed; of an account, and in all."""
    assert len(charged) == len(calls) == len(asked), (len(charged), len(calls), len(asked))
    assert Counter(int(each.amount) for each in charged) == Counter(map(worth, calls))
    ids = {call["id"]: worth(call) for call in calls}
    told = {each.metadata["metering"].get("answer", ""): int(each.amount) for each in charged}
    # One that was cut before it began has never told its id.
    assert {id: amount for id, amount in told.items() if id} == {id: ids[id] for id in told if id}
    assert sum(int(each.amount) for each in charged) == sum(map(worth, calls))
