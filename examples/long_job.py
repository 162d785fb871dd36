"""A job that takes long, and costs what it does: a film is rendered scene by scene, on credits set aside before.

    python examples/long_job.py

- **Reserve**: what the film will probably cost is held. Who can't pay that is told before the work begins.
- **Extend**: after each scene the hold is told what the job has cost so far, and lives on. Where the next scene takes
  more than was expected, more is set aside first.
- **Confirm**: at the end what it cost is charged, and the rest is free again.
- **Cancel**: Ctrl-C, or any error, frees all of it, and nothing is charged.

Killed in the middle (`kill -9`, a machine that is gone), nobody confirms or cancels. Run the same command again before
the hold ends, and the job goes on where it was, on the same hold. If nobody comes back, the hold ends by itself and
costs what it was told last: that is its policy, `on_expiry="metered"`.

The ledger is in a file, or where the variables FARTHING_URL and FARTHING_API_KEY say.
"""

import argparse
import os
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import farthing

WELCOME = 100
PER_SECOND = 2
SCENES = {"a street": 5, "a kiss": 6, "a storm": 14, "the end": 4}
"""How many seconds each scene has; the storm was expected to be shorter."""
EXPECTED = 6 * PER_SECOND * len(SCENES)


def main() -> None:
    options = wanted()
    url = os.environ.get("FARTHING_URL", "sqlite:///long_job.db")
    with farthing.connect(url) as credits:
        if not url.startswith("http"):
            credits.jobs.run_due()  # holds that have ended since are charged; a server does that by itself
        credits.grant(options.user, WELCOME, description="Welcome", key=f"welcome:{options.user}")
        try:
            render(credits, options)
        except farthing.InsufficientCredits as error:
            say(f"cancelled: {error.required} credits were needed and {error.available} are there; nothing is charged")
        except farthing.HoldEnded as ended:
            say(f"this film was begun before, and that hold is {ended.state}: nothing more is charged")
        except KeyboardInterrupt:
            say("cancelled: nothing is charged")
        explain(credits, options.user)


def render(credits: farthing.Client, options: argparse.Namespace) -> None:
    """The job. Its key makes it one job, however often it is begun."""
    with credits.hold(
        options.user, EXPECTED, operation="video.render", key=f"render:{options.user}:{options.film}",
        expires_in=options.patience, on_expiry="metered", description=f"Film {options.film}",
    ) as held:  # fmt: skip
        now = credits.holds.get(held.id)
        reserved, cost = now.amount, now.metered
        say(f"reserved: {reserved} credits" + (f"; {cost} of them are done already" if cost else ""))
        for scene, seconds in left_after(cost):
            if (missing := cost + seconds * PER_SECOND - reserved) > 0:
                held.extend(raise_by=missing)
                reserved += missing
                say(f"extended: {missing} credits more are set aside for {scene}, {reserved} in all")
            time.sleep(options.pace)  # here is the work
            cost += seconds * PER_SECOND
            held.extend(metered=cost, expires_at=datetime.now(UTC) + timedelta(seconds=options.patience))
            say(f"rendered: {scene}, {cost} credits so far")
        settled = held.settle(cost, description=f"Film {options.film}")
        say(f"confirmed: {settled.amount} charged, {settled.released} freed")


def left_after(cost: Decimal) -> list[tuple[str, int]]:
    """The scenes that are still to be rendered. A real job would look at what lies on its disk."""
    left = list(SCENES.items())
    while left and cost >= left[0][1] * PER_SECOND:
        cost -= left.pop(0)[1] * PER_SECOND
    return left


def explain(credits: farthing.Client, user: str) -> None:
    """What the books say."""
    balance = credits.balance(user)
    say(f"{user} has {balance.available} credits, and {balance.held} are set aside")
    for entry in credits.entries(user, kinds=["grant", "settle", "expire"]):
        say(f"  {entry.created_at:%H:%M:%S} {entry.kind} {entry.amount} {entry.description or ''}")


def say(text: str) -> None:
    print(text, flush=True)


def wanted() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Render a film on credits that are set aside before.")
    parser.add_argument("--user", default="ann")
    parser.add_argument("--film", default="film-1", help="another one is another job, paid for by itself")
    parser.add_argument("--pace", type=float, default=1.0, metavar="SECONDS", help="for each scene")
    parser.add_argument("--patience", type=int, default=60, metavar="SECONDS", help="how long the hold waits for us")
    return parser.parse_args()


if __name__ == "__main__":
    main()
