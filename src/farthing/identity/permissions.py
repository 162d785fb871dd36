"""Permissions: what each role may do, on every face; the one place where that stands.

On the native API a role is a set of scopes, as an API key has them. In the accounting dialect and at the login service
each call names the least role that may make it.
"""

from collections.abc import Mapping
from typing import Final

from farthing.core.people import ROLES, Role

SCOPES: Final[Mapping[Role, frozenset[str]]] = {
    "user": frozenset({"read"}),
    "supervisor": frozenset({"read", "grant"}),
    "admin": frozenset({"read", "charge", "grant", "admin"}),
}
"""What a role may do on the native API; a user only with his own account."""
USERS_MAY_CHARGE: Final = frozenset({"charge"})
"""What a user may do beside, where the workspace lets its users charge."""

ACCOUNTING: Final[Mapping[str, Role]] = {
    "getOwnBalance": "user",
    "getOwnTotalBalance": "user",
    "getBalanceOf": "supervisor",
    "checkCredits": "user",
    "calculateCredits": "user",
    "deductOwnCredits": "user",
    "allocateCredits": "supervisor",
    "allocateCreditsByEmail": "admin",
    "setCredits": "supervisor",
    "removeCredits": "supervisor",
    "adjustCredits": "supervisor",
    "listAllocations": "supervisor",
    "recordUsage": "user",
    "getOwnUsageStats": "user",
    "getUsageStatsOf": "supervisor",
    "getSystemUsageStats": "admin",
    "initializeSession": "user",
    "finalizeSession": "user",
    "abortSession": "user",
    "listOwnActiveSessions": "user",
    "listActiveSessionsOf": "supervisor",
    "listAllActiveSessions": "admin",
    "listOwnRecentSessions": "user",
    "listRecentSessionsOf": "supervisor",
}
"""The calls of the accounting dialect, by their operation, and the least role that may make each."""

LOGIN: Final[Mapping[str, Role]] = {
    "logout": "user",
    "logoutEverywhere": "user",
    "changePassword": "user",
    "changePasswordHere": "user",
    "getProfile": "user",
    "changeProfile": "user",
    "createUser": "admin",
    "createUsers": "admin",
    "listUsers": "admin",
    "getUser": "admin",
    "getUserByEmail": "admin",
    "changeRole": "admin",
    "removeUser": "admin",
}
"""The calls of the login service that take a token."""
FOR_ALL: Final = frozenset(
    {
        "signUp",
        "verifyEmail",
        "resendVerification",
        "login",
        "refreshTokens",
        "forgotPassword",
        "resetPassword",
    }
)
"""Those that are for who has none yet. A call that stands in neither table can't be made."""


def rank(role: Role) -> int:
    """How much a role may: each may what those below it may."""
    return ROLES.index(role)


def scope_of(role: Role) -> str:
    """What stands for a role, and all above it, where a call names what it takes."""
    return f"role:{role}"


def scopes(role: Role, *, users_may_charge: bool = False) -> frozenset[str]:
    """All that a role may do, on every face."""
    roles = {scope_of(each) for each in ROLES if rank(each) <= rank(role)}
    more = USERS_MAY_CHARGE if role == "user" and users_may_charge else frozenset()
    return SCOPES[role] | more | roles


def may_give_to(role: str, own_account: str, account: str) -> bool:
    """Whether somebody may give credits to an account: a supervisor not to his own."""
    return role != "supervisor" or own_account != account
