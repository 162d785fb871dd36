"""Many streams at once, of which a third are cut: the ledger is what the provider's books say, to the unit.

The long form is `./dev soak streams`; a short one is a test.
"""

import asyncio
import gc
import os
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anthropic
import apsw
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
ONE_EACH = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
"""A connection for each stream: one that was used before may have been closed by the provider, who then never hears of
the call, though the policy charges for it."""
_BREAKS = (openai.OpenAIError, anthropic.AnthropicError, httpx2.HTTPError)


async def storm(
    folder: Path, models: Remote, streams: int, seed: int, say: Callable[[str], None], rounds: int = 1
) -> Counter[str]:  # fmt: skip
    """Run so many streams at once, by all libraries, again and again, and compare; how they have ended. This process
    takes no more memory after many than after some."""
    rng = random.Random(seed)
    models.post("habits", cut_share=1 / 3)
    before = models.get("state")["calls"]
    http = httpx2.AsyncClient(verify=False, limits=ONE_EACH, timeout=300)
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
        ended, memory = Counter[str](), []
        for number in range(1, rounds + 1):
            ended.update(await asyncio.gather(*[_one(metered, *_asked(rng, accounts)) for _ in range(streams)]))
            assert await asettled(ledger, 300)
            gc.collect()
            memory.append(_resident_mb())
            many = number * streams
            say(f"streams: {many}, {streams} at once, have ended, {ended['cut']} of them cut; {memory[-1]:.0f} MB")
        assert memory[-1] <= 1.1 * memory[len(memory) // 3], f"memory grows: {memory}"
        held = [account for account in accounts if (await ledger.balance(account)).held]
        assert held == [], f"holds are left of {held}"
        charged = [charge for account in accounts async for charge in ledger.charges.list(account)]
    await asyncio.to_thread(models.get, "idle")
    compare(charged, models.get("books", after=str(before))["calls"], rounds * streams)
    return ended


def _asked(rng: random.Random, accounts: list[str]) -> tuple[Way, str, str]:
    return rng.choice(WAYS), rng.choice(accounts), f"Question {rng.randrange(1_000)}"


def _resident_mb() -> float:
    """The memory of this process, without pages that SQLite keeps: of those it keeps 64 MB, whoever asks."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return (pages * os.sysconf("SC_PAGE_SIZE") - apsw.memory_used()) / (1 << 20)


async def _one(metered: dict[str, Any], way: Way, account: str, text: str) -> str:
    call, given = asking(metered["openai"], metered["anthropic"], way, text=text)
    with metering(account=account):
        try:
            async for _ in await call(**given, stream=True):
                pass
        except _BREAKS:
            return "cut"
    return "finished"


def compare(charged: list[Any], calls: list[dict[str, Any]], asked: int) -> None:
    """Each call of the books was charged once, and for what it is billed; of an account, and in all."""
    assert len(charged) == len(calls) == asked, (len(charged), len(calls), asked)
    assert Counter(int(each.amount) for each in charged) == Counter(map(worth, calls))
    ids = {call["id"]: worth(call) for call in calls}
    told = {each.metadata["metering"].get("answer", ""): int(each.amount) for each in charged}
    # One that was cut before it began has never told its id.
    assert {id: amount for id, amount in told.items() if id} == {id: ids[id] for id in told if id}
    assert sum(int(each.amount) for each in charged) == sum(map(worth, calls))
