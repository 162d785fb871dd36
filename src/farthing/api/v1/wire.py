"""Words of the native API that several nouns share: the types of fields as they are documented, and what all answers
have.

A request's type documents; it is read by `fields`, which knows all that can be wrong and tells it together.
"""

from typing import Annotated, Any, Final

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from farthing.core.amounts import write_amount
from farthing.core.records import Body, Entry
from farthing.core.refundable import read_body

from ..bodies import MAX_DEPTH, MAX_OBJECT, TEXT, WORDS
from ..endpoint import write_second

MAX_TEXT: Final = 255
MAX_KEY: Final = 255
MAX_DESCRIPTION: Final = 1_000
MAX_PATTERNS: Final = 20
MAX_AMOUNT_TEXT: Final = 40
_NOT_ZERO: Final = r"([0-9]*[1-9][0-9]*(\.[0-9]+)?|[0-9]+\.[0-9]*[1-9][0-9]*)"
_ABOVE_ZERO: Final = f"^{_NOT_ZERO}$"
_DIFFERENCE: Final = f"^-?{_NOT_ZERO}$"
_UNSIGNED: Final = r"^[0-9]+(\.[0-9]+)?$"
_SIGNED: Final = r"^-?[0-9]+(\.[0-9]+)?$"

TIME: Final = {"format": "date-time", "pattern": "^(19[7-9]|[2-9][0-9]{2})[0-9]-"}
"""An instant that may be sent: after 1970."""


def text_of(description: str) -> Meta:
    """What a text of 1 to 255 bytes without control characters is documented as."""
    return Meta(min_length=1, max_length=MAX_TEXT, pattern=TEXT, description=description)


AccountId = Annotated[str, text_of("Your own stable id of whose credits they are.")]
Operation = Annotated[str, text_of("What the credits are for, such as `chat.message`.")]
ServiceName = Annotated[str, text_of("The service, for grants of that scope.")]
Model = Annotated[str, text_of("The model, for grants of that scope.")]
Product = Annotated[str, text_of("The product, for grants of that scope.")]
Amount = Annotated[
    str,
    Meta(
        pattern=_ABOVE_ZERO,
        max_length=MAX_AMOUNT_TEXT,
        description='Credits as decimal text, such as "7.5": above zero, with no more decimals than the workspace has.',
    ),
]
AmountOrZero = Annotated[
    str, Meta(pattern=_UNSIGNED, max_length=MAX_AMOUNT_TEXT, description="Credits as decimal text; may be zero.")
]
Difference = Annotated[
    str,
    Meta(
        pattern=_DIFFERENCE,
        max_length=MAX_AMOUNT_TEXT,
        description="Credits as decimal text; below zero they are taken.",
    ),
]
Expiry = Annotated[
    str,
    Meta(description="RFC 3339; at this instant it is over.", extra_json_schema=TIME),
]
Description = Annotated[
    str, Meta(max_length=MAX_DESCRIPTION, pattern=WORDS, description="Words for people, without NUL.")
]
Metadata = Annotated[
    dict[str, Any], Meta(description=f"An object of your own, at most {MAX_OBJECT:,} bytes and {MAX_DEPTH} deep.")
]
RecordRefusal = Annotated[
    bool, Meta(description="Record a refusal under the key: a repeat gets the same refusal, also after a top-up.")
]
DryRun = Annotated[
    bool, Meta(description="Only tell what would come of it now. Nothing is kept: ids in the answer name nothing.")
]

Credits = Annotated[str, Meta(description="Credits as decimal text, exact.", pattern=_SIGNED)]
Time = Annotated[str, Meta(description="UTC, with microseconds.", extra_json_schema={"format": "date-time"})]
OwnObject = Annotated[Any, Meta(extra_json_schema={"type": ["object", "null"]})]


class Act(Struct, kw_only=True, forbid_unknown_fields=True):
    """What every command may have. A field that is null counts as left out."""

    description: Description | None = None
    metadata: Metadata | None = None
    dry_run: DryRun | None = None


class Command(Act, kw_only=True):
    """What those may have that go by a key of their caller's."""

    final: RecordRefusal | None = None


class After(Struct):
    """The account after the entry."""

    balance: Annotated[Credits, Meta(description="Live grants less debt, held credits included.")]
    scoped: Annotated[Credits, Meta(description="The part of it in grants with a scope.")]
    held: Credits
    debt: Credits


class Done(Struct, kw_only=True):
    """What the answer to every command has. It is written from the entry alone, so a repeat reads the same."""

    account: str
    entry: Annotated[str, Meta(description="The entry that it wrote.")]
    after: After
    description: str | None
    metadata: OwnObject
    created_at: Time
    dry_run: Annotated[bool, Meta(description="Present when nothing was kept.")] | UnsetType = UNSET


def done(entry: Entry, scale: int, body: Body | None = None) -> dict[str, Any]:
    """The fields of `Done`; of an entry whose body was read, that goes along."""
    body = body or read_body(entry)
    return {
        "account": entry.account,
        "entry": entry.id,
        "after": After(
            write_amount(entry.balance, scale),
            write_amount(body.scoped, scale),
            write_amount(entry.held, scale),
            write_amount(entry.debt, scale),
        ),
        "description": entry.description,
        "metadata": None if entry.metadata is None else Raw(entry.metadata.encode()),
        "created_at": write_time(entry.at),
    }


def write_time(at_us: int) -> str:
    """An instant, exactly: RFC 3339, UTC, with microseconds."""
    seconds, rest = divmod(at_us, 1_000_000)
    return f"{write_second(seconds)}.{rest:06d}Z"
