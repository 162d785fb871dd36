"""Changes of rate cards: a version is added, never changed; one that has not begun may be withdrawn. Every fault of a
card is told at once, each with where it is.
"""

import re
from hashlib import sha256
from typing import Annotated, Any, Final

from msgspec import Meta

from farthing.core.cardcheck import check_card
from farthing.core.ratecard import CardError, read_card
from farthing.stores.prices import LEAD_US, MAX_DOCUMENT, AccessError, CardFacts, Once

from ..bodies import WORDS, object_text
from ..endpoint import Endpoint, Headers, Reply, Request
from .account_settings import if_match, tag_parameter
from .administration import Asked, act_of, answer, etag_field, once, told
from .desk import Desk
from .fields import Fields, Form
from .problems import Fault, Wrong
from .rate_cards import CARD_EXAMPLE, CARD_IN_PATH, FACTS, VERSION_IN_PATH, VersionFacts, number_of, version_facts
from .reading import named
from .wire import MAX_DESCRIPTION, TIME

MAX_PROBLEMS: Final = 100
"""Of a card's faults so many are told; the others are told once these are mended."""
_BODY_BYTES: Final = MAX_DOCUMENT + 100_000

Reason = Annotated[
    str,
    Meta(min_length=1, max_length=MAX_DESCRIPTION, pattern=WORDS, description="Why; kept with the version."),
]
Begins = Annotated[
    str,
    Meta(
        description=f"RFC 3339: from this instant on usage is priced by it; at least {LEAD_US // 1_000_000} s ahead, "
        "so that all processes switch at the same instant. Left out: as soon as that can be.",
        extra_json_schema=TIME,
    ),
]
CardDocument = Annotated[
    dict[str, Any],
    Meta(
        description="The rate card: `rules`, `catalogue`, `markup`, `minimum`, `rounding`, ...; or a PriceCalc profile "
        'as `{"profile": {...}}`. See the how-to "Prices".'
    ),
]


class VersionRequest(Asked):
    """A version of a rate card, to be added."""

    card: CardDocument
    reason: Reason
    effective_from: Begins | None = None


class WithdrawRequest(Asked):
    """A version to be taken back."""

    reason: Reason


_add, _withdraw = Form(VersionRequest, "card"), Form(WithdrawRequest)


async def add_version(request: Request, desk: Desk) -> Reply:
    """Write the next version of a card."""
    fields, card = _add.read(request), request.parameters["card"]
    document, begins, reason = _document(fields), fields.instant("effective_from"), read_reason(fields)
    expected = _expected(request)
    asked = sha256(document.encode()).hexdigest()
    under = once(fields, card=card, document=asked, effective_from=begins, reason=reason)
    try:
        made = await desk.prices.add_version(
            request.caller.workspace.id, card, document, begins, act_of(request, desk), under, reason, expected
        )
    except AccessError as error:
        raise _told(error) from error
    return added(under, made)


def added(under: Once, made: CardFacts) -> Reply:
    """The answer to whoever added a version."""
    place: Headers = ((b"location", f"/v1/rate-cards/{made.card}/versions/{made.version}".encode()),)
    tag = () if under.dry_run else (etag_field(str(made.version)),)
    return answer(under, VersionFacts(**version_facts(made)), 201, (*place, *tag))


def _document(fields: Fields) -> str:
    """The card as it was sent, once it is known to be one."""
    text = object_text(fields.values.card)
    if text is None:
        fields.refuse("card", "must be an object: the rate card")
        return ""
    if len(text) > MAX_DOCUMENT:
        fields.refuse("card", f"must have at most {MAX_DOCUMENT:,} characters")
        return ""
    fields.wrong += card_problems(text, fields.request.caller.workspace.scale, "/card")
    return text


def card_problems(document: str, scale: int, at: str) -> list[Wrong]:
    """All that is wrong with a card that stands at this pointer."""
    try:
        found = check_card(read_card(document), scale)
    except CardError as error:
        found = error.problems
    return [Wrong(pointer=f"{at}{pointer}", detail=message) for pointer, message in found[:MAX_PROBLEMS]]


def read_reason(fields: Fields) -> str:
    """Why something is done: words for people, which must be there."""
    reason = fields.words("reason")
    if not reason:
        fields.refuse("reason", "is missing: say why, for those who ask later")
    return reason or ""


def _expected(request: Request) -> int | None:
    """The last version that the client has read; None where any will do."""
    tag = if_match(request)
    if tag is None:
        return None
    return int(tag) if re.fullmatch(r"[0-9]{1,9}", tag) else -1


def _told(error: AccessError) -> Fault:
    if error.code == "invalid" and error.field == "card":
        # It stands in the path.
        return Fault("invalid", [Wrong(parameter="card", detail=str(error))])
    return told(error)


async def withdraw_version(request: Request, desk: Desk) -> Reply:
    """Take back a version that has not begun."""
    fields, card, number = _withdraw.read(request), named(request, "card", "card"), number_of(request)
    reason = read_reason(fields)
    under = once(fields, card=card, version=number, reason=reason)
    try:
        done = await desk.prices.withdraw(
            request.caller.workspace.id, card, number, act_of(request, desk), under, reason
        )  # fmt: skip
    except AccessError as error:
        raise told(error) from error
    return answer(under, VersionFacts(**version_facts(done)))


# The table


_IF_MATCH: Final = tag_parameter(
    "3",
    'The ETag that the card had when you read it (its last version; `"0"`: there was none): the version is added only '
    "if it still has it.",
)

ENDPOINTS: Final = (
    Endpoint(
        path="/v1/rate-cards/{card}/versions",
        operation_id="addRateCardVersion",
        summary="Add a version of a rate card",
        description="The first one makes the card, and may begin at once. A version begins after all that are there; "
        "charges keep the version that priced them.",
        scope="admin",
        request=VersionRequest,
        answer=VersionFacts,
        example={"card": CARD_EXAMPLE, "reason": "gpt-4o at our own price"},
        answered=FACTS,
        codes=frozenset({"overlapping_versions", "precondition_failed"}),
        act=add_version,
        status=201,
        keyed=True,
        body_bytes=_BODY_BYTES,
        parameters=(CARD_IN_PATH, _IF_MATCH),
    ),
    Endpoint(
        path="/v1/rate-cards/{card}/versions/{version}/withdraw",
        operation_id="withdrawRateCardVersion",
        summary="Take back a version that has not begun",
        description="What has begun stays, since charges may name it: add another version instead.",
        scope="admin",
        request=WithdrawRequest,
        answer=VersionFacts,
        example={"reason": "Entered by mistake"},
        answered={**FACTS, "withdrawn_at": "2026-01-01T12:00:01.000000Z"},
        codes=frozenset({"version_not_found", "card_version_begun"}),
        act=withdraw_version,
        keyed=True,
        parameters=(CARD_IN_PATH, VERSION_IN_PATH),
    ),
)
