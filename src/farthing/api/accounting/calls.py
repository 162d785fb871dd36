"""Calls: what every endpoint of the accounting dialect has in common."""

from typing import Any, Final

from farthing.core.commands import Command, CreateAccount
from farthing.core.outcomes import Outcome, Refusal, Refused
from farthing.core.records import Body, Entry
from farthing.identity.permissions import ACCOUNTING, scope_of

from ..bodies import key_schema
from ..endpoint import Endpoint, Parameter, Request
from ..v1.desk import Desk
from .errors import amounts_of, fault, tell
from .fields import MAX_KEY

KEY: Final = Parameter(
    name="Idempotency-Key",
    place="header",
    description=f"1 to {MAX_KEY} printable ASCII characters, bare or in quotes; one for each act, the same for each "
    "try of it. `idempotencyKey` in the body wins. Without a key a repeat is a new act.",
    schema=key_schema(MAX_KEY),
    example="7f3a6c1e-0001",
)


def call(operation_id: str, *codes: str, **words: Any) -> Endpoint:
    """An endpoint whose least role stands in the table of permissions; `codes` name what only it says no with."""
    return Endpoint(
        operation_id=operation_id, scope=scope_of(ACCOUNTING[operation_id]), own=True, codes=frozenset(codes), **words
    )


def who(request: Request) -> dict[str, Any]:
    """Who acts, and by which request, as a command says it."""
    caller = request.caller
    return {
        "workspace": caller.workspace.id, "actor": caller.actor, "role": caller.role, "request_id": request.id.decode()
    }  # fmt: skip


def own_id(request: Request) -> str:
    """Who bears the token; the name of his account."""
    person = request.caller.person
    assert person is not None, "this face takes tokens only"
    return person.id


async def carry_out(command: Command, request: Request, desk: Desk, short: str = "") -> Entry:
    """The entry that comes of a command on somebody who is known: his account is made where he had none yet. With
    `short`, the code of what is said where there is not enough, nothing is made, for nothing can be taken."""
    outcome = await asked(command, desk)
    if isinstance(outcome, Refused) and outcome.code is Refusal.ACCOUNT_NOT_FOUND:
        if short:
            outcome = Refused(
                Refusal.INSUFFICIENT_CREDITS, {"required": -getattr(command, "amount", 0), "available": 0}
            )
        else:
            # Somebody else may be faster: then it is there as well.
            await asked(CreateAccount(account=command.account, **who(request)), desk)
            outcome = await asked(command, desk)
    if isinstance(outcome, Refused):
        scale = request.caller.workspace.scale
        if short and outcome.code is Refusal.INSUFFICIENT_CREDITS:
            raise fault(short, **amounts_of(outcome, scale))
        raise tell(outcome, scale)
    assert outcome.entry is not None, "what a face asks for writes an entry"
    return outcome.entry


async def asked(command: Command, desk: Desk) -> Outcome:
    """What comes of a command."""
    outcome = await desk.engine.ask(command)
    desk.observer.decided(command.kind, outcome)
    return outcome


def left_after(entry: Entry, body: Body) -> int:
    """What could be spent after an entry: the dialect's total."""
    return entry.balance - entry.held - body.scoped + body.beyond
