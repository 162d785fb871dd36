"""Rate cards: how the workspace prices usage, in numbered versions; read here, changed in `card_changes`."""

import re
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Raw, Struct

from farthing.prices.book import CARD
from farthing.stores.prices import CARD_NAME, CardFacts, CardSummary, CardVersion

from ..endpoint import Endpoint, Reply, Request
from .administration import Answered, encode, etag_field
from .desk import Desk
from .parameters import in_path
from .reading import PAGING, Listed, Params, listed_example, named, not_found
from .wire import OwnObject, Time, write_time

_NUMBER: Final = re.compile(r"[1-9][0-9]{0,8}")

State = Literal["in_force", "scheduled", "past", "withdrawn"]


class VersionFacts(Answered, kw_only=True):
    """A version of a rate card."""

    card: str
    version: int
    name: Annotated[str, Meta(description="What the charges that it prices keep of it: `card@version`.")]
    effective_from: Time
    hash: Annotated[str, Meta(description="SHA-256 of the document's text, in hexadecimal.")]
    created_at: Time
    actor: str
    reason: str
    withdrawn_at: Time | None


class VersionLine(VersionFacts, kw_only=True):
    """A version in a listing."""

    state: State


class VersionView(VersionLine, kw_only=True):
    """A version with its document."""

    document: OwnObject


class CardLine(Struct, kw_only=True):
    """A rate card in a listing."""

    card: str
    prices_usage: Annotated[bool, Meta(description="Whether charges are priced by it; quotes may name any card.")]
    versions: int
    in_force: Annotated[int | None, Meta(description="The number of the version in force.")]
    next_at: Annotated[Time | None, Meta(description="When another version begins.")]


class CardView(Struct, kw_only=True):
    """A rate card as it stands."""

    card: str
    prices_usage: bool
    last_version: Annotated[int, Meta(description="Also the ETag: for `If-Match` of the next version.")]
    in_force: Annotated[VersionView | None, Meta(description="Null: its first version has not begun.")]
    scheduled: Annotated[list[VersionLine], Meta(description="Versions that begin later, the next one first.")]


# Writing


def version_facts(facts: CardFacts) -> dict[str, Any]:
    """A version on the wire, but for what changes with time."""
    return {
        "card": facts.card,
        "version": facts.version,
        "name": f"{facts.card}@{facts.version}",
        "effective_from": write_time(facts.effective_from),
        "hash": facts.hash,
        "created_at": write_time(facts.created_at),
        "actor": facts.actor,
        "reason": facts.reason,
        "withdrawn_at": None if facts.withdrawn_at is None else write_time(facts.withdrawn_at),
    }


def _state(facts: CardFacts, in_force: int | None, now_us: int) -> State:
    if facts.withdrawn_at is not None:
        return "withdrawn"
    if facts.version == in_force:
        return "in_force"
    return "scheduled" if facts.effective_from > now_us else "past"


def _view(version: CardVersion, state: State) -> VersionView:
    return VersionView(**version_facts(version), state=state, document=Raw(version.document.encode()))


# Reading


async def list_cards(request: Request, desk: Desk) -> Listed[CardLine]:
    """A page of the workspace's cards, by name."""
    turn = await Params(request, "limit", "cursor").turn(desk, "rate-cards")
    cards = await desk.prices.cards(turn.workspace, desk.now_us())
    rest = [card for card in cards if turn.after is None or (card.card,) > turn.after]
    shown = rest[: turn.limit]
    return await turn.told([_line(card) for card in shown], (shown[-1].card,) if len(rest) > len(shown) else None)


def _line(card: CardSummary) -> CardLine:
    return CardLine(
        card=card.card,
        prices_usage=card.card == CARD,
        versions=card.versions,
        in_force=card.in_force,
        next_at=None if card.next_at is None else write_time(card.next_at),
    )


async def show_card(request: Request, desk: Desk) -> Reply:
    """A card: what is in force, and what comes."""
    Params(request).check()
    workspace, card, now_us = request.caller.workspace.id, named(request, "card", "card"), desk.now_us()
    last = (await desk.prices.versions(workspace, card, limit=1)).items
    if not last:
        raise not_found("card")
    live = [v for v in await desk.prices.timeline(workspace, now_us) if v.card == card]
    begun = next((v for v in live if v.effective_from <= now_us), None)
    view = CardView(
        card=card,
        prices_usage=card == CARD,
        last_version=last[0].version,
        in_force=None if begun is None else _view(begun, "in_force"),
        scheduled=[VersionLine(**version_facts(v), state="scheduled") for v in live if v is not begun],
    )
    return Reply(200, encode(view), headers=(etag_field(str(last[0].version)),))


async def list_versions(request: Request, desk: Desk) -> Listed[VersionLine]:
    """A page of a card's versions, newest first."""
    card = named(request, "card", "card")
    turn = await Params(request, "limit", "cursor").turn(desk, "rate-card-versions", card=card)
    page = await desk.prices.versions(turn.workspace, card, before=turn.after, limit=turn.limit)
    if not page.items and turn.after is None:
        raise not_found("card")
    now_us = desk.now_us()
    begun = await desk.prices.version_at(turn.workspace, card, now_us)
    in_force = None if begun is None else begun.version
    lines = [VersionLine(**version_facts(v), state=_state(v, in_force, now_us)) for v in page.items]
    return await turn.told(lines, page.next)


async def show_version(request: Request, desk: Desk) -> VersionView:
    """One version, whatever its state."""
    Params(request).check()
    workspace, card, number = request.caller.workspace.id, named(request, "card", "card"), number_of(request)
    version, now_us = await desk.prices.version(workspace, card, number), desk.now_us()
    if version is None:
        raise not_found("version")
    begun = await desk.prices.version_at(workspace, card, now_us)
    return _view(version, _state(version, None if begun is None else begun.version, now_us))


def number_of(request: Request) -> int:
    """The version that the path names; what can't be a number is that of nothing."""
    text = request.parameters["version"]
    if not _NUMBER.fullmatch(text):
        raise not_found("version")
    return int(text)


# The table


FACTS: Final[dict[str, Any]] = {
    "card": CARD,
    "version": 3,
    "name": f"{CARD}@3",
    "effective_from": "2026-01-01T12:00:02.000000Z",
    "hash": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "created_at": "2026-01-01T12:00:00.000000Z",
    "actor": "key:key_0198c5f0a1b27c3d8e4f5a6b7c8d9000",
    "reason": "gpt-4o at our own price",
    "withdrawn_at": None,
}
CARD_EXAMPLE: Final[dict[str, Any]] = {
    "catalogue": {"rate": "100", "markup": {"percent": "20"}},
    "rules": [
        {"id": "image", "dimension": "images", "price": "10", "match": {"operation": "image_generation"}},
        {"id": "in", "dimension": "input_tokens", "price": "250", "per": 1_000_000, "match": {"model": "gpt-4o"}},
        {"id": "out", "dimension": "output_tokens", "price": "1000", "per": 1_000_000, "match": {"model": "gpt-4o"}},
    ],
}
_LINE: Final[dict[str, Any]] = {**FACTS, "state": "in_force"}
_VIEW: Final[dict[str, Any]] = {**_LINE, "document": CARD_EXAMPLE}
CARD_IN_PATH: Final = in_path(
    "card", f"The card's name. The workspace's usage is priced by `{CARD}`.", CARD, CARD_NAME.pattern
)
VERSION_IN_PATH: Final = in_path("version", "The version's number.", "3", _NUMBER.pattern)
_NAMED: Final = frozenset({"card_not_found", "version_not_found"})

ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/v1/rate-cards",
        operation_id="listRateCards",
        summary="Rate cards of the workspace",
        description=f"By name. Usage is priced by the card `{CARD}`; others can be tried in quotes.",
        scope="read",
        request=None,
        answer=Listed[CardLine],
        example={},
        answered=listed_example(
            {"card": CARD, "prices_usage": True, "versions": 3, "in_force": 3, "next_at": None},
        ),
        codes=frozenset({"cursor_invalid"}),
        act=list_cards,
        parameters=PAGING,
    ),
    Endpoint(
        method="GET",
        path="/v1/rate-cards/{card}",
        operation_id="showRateCard",
        summary="One rate card",
        description="The version in force with its document, and those that begin later. The header `ETag` stands for "
        "its last version; see `If-Match` of adding one.",
        scope="read",
        request=None,
        answer=CardView,
        example={},
        answered={"card": CARD, "prices_usage": True, "last_version": 3, "in_force": _VIEW, "scheduled": []},
        codes=frozenset({"card_not_found"}),
        act=show_card,
        parameters=(CARD_IN_PATH,),
    ),
    Endpoint(
        method="GET",
        path="/v1/rate-cards/{card}/versions",
        operation_id="listRateCardVersions",
        summary="Versions of a rate card",
        description="Newest first, with who added each, when and why; withdrawn ones included.",
        scope="read",
        request=None,
        answer=Listed[VersionLine],
        example={},
        answered=listed_example(_LINE),
        codes=frozenset({"card_not_found", "cursor_invalid"}),
        act=list_versions,
        parameters=(CARD_IN_PATH, *PAGING),
    ),
    Endpoint(
        method="GET",
        path="/v1/rate-cards/{card}/versions/{version}",
        operation_id="showRateCardVersion",
        summary="One version of a rate card",
        description="With its document, as it was sent.",
        scope="read",
        request=None,
        answer=VersionView,
        example={},
        answered=_VIEW,
        codes=_NAMED,
        act=show_version,
        parameters=(CARD_IN_PATH, VERSION_IN_PATH),
    ),
)
