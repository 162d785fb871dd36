"""A bot that sells answers and images for credits: the whole of it, with its ledger in a file beside it.

    python examples/bot.py < conversation.txt

Each line of the conversation is `who: what`. The same program runs against a server by its URL alone:

    FARTHING_URL=https://credits.example.com FARTHING_API_KEY=cs_live_... python examples/bot.py < conversation.txt
"""

import asyncio
import os
import sys
from collections.abc import Iterable

import farthing

WELCOME = 20
PRICES = {"message": 5, "image": 10}
HELP = "Say anything, or: /image WHAT, /balance, /history."


async def main(lines: Iterable[str]) -> None:
    url = os.environ.get("FARTHING_URL", "sqlite:///bot.db")
    async with farthing.aconnect(url) as credits:
        for number, line in enumerate(lines):
            who, _, text = line.strip().partition(": ")
            if text:
                print(f"{who}> {text}\n     {await answer(credits, who, text, f'line-{number}')}")


async def answer(credits: farthing.AsyncClient, user: str, text: str, update: str) -> str:
    """What the bot says to a message. `update` is the messenger's own id of it: a message that is delivered twice is
    charged once."""
    # The key makes it once for each user, however often he comes back.
    await credits.grant(user, WELCOME, category="promotional", description="Welcome", key=f"welcome:{user}")
    try:
        if text == "/balance":
            return f"You have {(await credits.balance(user)).available} credits."
        if text == "/history":
            return "; ".join(
                [f"{e.kind} {e.amount}" async for e in credits.entries(user, kinds=["grant", "charge", "settle"])]
            )
        if text.startswith("/image "):
            return await draw(credits, user, text.removeprefix("/image "), update)
        if text.startswith("/"):
            return HELP
        charge = await credits.charge(user, PRICES["message"], operation="message", key=f"{user}:{update}")
        return f"{think(text)} ({charge.after.balance} credits left)"
    except farthing.InsufficientCredits as error:
        return f"That takes {error.required} credits and you have {error.available}: {error.deficit} are missing."


async def draw(credits: farthing.AsyncClient, user: str, what: str, update: str) -> str:
    """An image: paid for when it is there, and free of charge when it could not be made."""
    try:
        async with credits.hold(user, PRICES["image"], operation="image", key=f"{user}:{update}") as held:
            picture = await paint(what)
            held.used(PRICES["image"])
    except farthing.HoldEnded:
        return "You have asked for that image before."
    except RuntimeError as error:
        return f"No image ({error}), and nothing was charged."
    return picture


def think(text: str) -> str:
    """Here goes the model."""
    return f"You said {text!r}, in {len(text.split())} words."


async def paint(what: str) -> str:
    """And here the one that paints."""
    await asyncio.sleep(0)
    if "dragon" in what:
        raise RuntimeError("dragons can't be painted")
    return f"[a picture of {what}]"


if __name__ == "__main__":
    asyncio.run(main(sys.stdin))
