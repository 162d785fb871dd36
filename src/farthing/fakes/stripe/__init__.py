"""A stand-in for Stripe: checkouts that a person can click, cards that are declined, subscriptions that are renewed by
a clock that can be put forward, refunds, disputes, signed events, idempotency keys; and books of what was paid.

In a test: `with running(Options(webhook=url)) as stripe: ...`.
"""

from farthing.fakes.web import Remote

from .program import KEY, RESTRICTED_KEY, SECRET, Fake, Options, running

__all__ = ["KEY", "RESTRICTED_KEY", "SECRET", "Fake", "Options", "Remote", "running"]
