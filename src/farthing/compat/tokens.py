"""The token service: its calls, its result objects and its error texts, on a Farthing client.

    tokens = Tokens(farthing.connect("sqlite:///credits.db"))
    done = tokens.debit("alice", 10, operation_type="image_generation")
    done.success, done.new_balance, done.error

Tokens are whole. What the ledger refuses is a result with `success=False`; what nobody knows the end of (a server that
is away, a lost answer) is raised, for a program must not take that for a refusal. Every write takes a `key`, under
which it is done once however often it is tried.
"""

from .aio.tokens import AsyncTokens
from .sync.tokens import Tokens
from .token_results import (
    BatchRenewal,
    CanAfford,
    Eligibility,
    RenewalFailure,
    TokenBalance,
    TokenEntry,
    TokenResult,
    TokenStatistics,
    UserRenewal,
)

__all__ = [
    "AsyncTokens",
    "BatchRenewal",
    "CanAfford",
    "Eligibility",
    "RenewalFailure",
    "TokenBalance",
    "TokenEntry",
    "TokenResult",
    "TokenStatistics",
    "Tokens",
    "UserRenewal",
]
