"""Usual: bodies as nearly all priced calls have them, decoded into their types in one step. A caller waits for each
look at a field; so what is as usual is looked at once.

Of anything else nothing is said here: it is read field by field (`fields`), where all that is wrong with it is found.
Both come to the same command.
"""

from typing import Annotated, Any, Final, Generic, TypeVar

import msgspec
from msgspec import Meta, Raw, Struct

from farthing.core.quantities import MAX_ATTRIBUTES, MAX_DIMENSIONS, PriceRefusal
from farthing.core.usage import Metered, Usage

from ..bodies import own_object
from ..endpoint import JSON, Request, Stop
from .fields import command_of, idempotency_key
from .problems import Fault
from .usage import decimal_text, price
from .wire import MAX_DESCRIPTION

_SHORT: Final = 63
"""Characters of a text that can't have more than 255 bytes."""
_NULL: Final = Raw(b"null")

Text = Annotated[str, Meta(min_length=1, max_length=_SHORT)]


class UsualUsage(Struct, kw_only=True, forbid_unknown_fields=True, gc=False):
    """What was used, just now."""

    dimensions: Annotated[dict[str, int | str], Meta(max_length=MAX_DIMENSIONS)] = {}
    provider: Text = ""
    model: Text = ""
    service: Text = ""
    operation: Text = ""
    product: Text = ""
    chat: Text = ""
    attributes: Annotated[dict[Text, Text], Meta(max_length=MAX_ATTRIBUTES)] = {}


class UsualBody(Struct, kw_only=True, forbid_unknown_fields=True, gc=False):
    """What a priced call has."""

    usage: UsualUsage
    description: Annotated[str, Meta(max_length=MAX_DESCRIPTION)] | None = None
    metadata: Raw = _NULL


class UsualTaking(UsualBody, kw_only=True, gc=False):
    """What one has that names an account; words may stand beside the usage as well as in it."""

    account: Text
    operation: Text = ""
    service: Text = ""
    model: Text = ""
    product: Text = ""


B = TypeVar("B", bound=UsualBody)


class Usual(Generic[B]):
    """One kind of body, as it usually is."""

    def __init__(self, kind: type[B]) -> None:
        self._decode = msgspec.json.Decoder(kind).decode

    def read(self, request: Request) -> "Found[B] | None":
        """What the request's body says and comes to; None where that takes a closer look."""
        if b'"usage"' not in request.body or request.scope.get("query_string"):
            return None
        if request.headers.get(b"content-type") != JSON:
            return None
        try:
            body = self._decode(request.body)
            metadata, key = own_object(body.metadata), idempotency_key(request)
        except (msgspec.DecodeError, ValueError, RecursionError, Stop, Fault):
            return None
        usage = _usage_of(body)
        if usage is None:
            return None
        priced, at = price(request.caller, usage)
        if isinstance(priced, PriceRefusal):
            return None
        taken = command_of(request, key, body.description, metadata)
        taken |= {"amount": priced.amount, "usage": Metered(usage, priced), "at": at}
        return Found(body, usage, taken)


class Found(Struct, Generic[B], frozen=True, gc=False):
    """A body, and what it comes to."""

    body: B
    usage: Usage
    taken: dict[str, Any]
    """The fields of a command that every one has, and those that say what it takes."""


def _usage_of(body: UsualBody) -> Usage | None:
    """The usage, where all texts of the body are as they should be."""
    u = body.usage
    operation, service, model, product = u.operation, u.service, u.model, u.product
    texts = [body.description or "", u.provider, u.chat]
    if isinstance(body, UsualTaking):
        texts.append(body.account)
        operation, service = operation or body.operation, service or body.service
        model, product = model or body.model, product or body.product
        within = (operation, service, model, product)
        beside = (body.operation, body.service, body.model, body.product)
        if beside != within and any(word and word != other for word, other in zip(beside, within, strict=True)):
            return None
    texts += (operation, service, model, product)
    if u.attributes:
        texts += u.attributes
        texts += u.attributes.values()
    if not "".join(texts).isprintable():
        return None
    dimensions = {}
    for name, quantity in u.dimensions.items():
        text = decimal_text(quantity)
        if text is None:
            return None
        dimensions[name] = text
    return Usage(
        dimensions=dimensions, provider=u.provider, model=model, service=service, operation=operation, product=product,
        chat=u.chat, attributes=u.attributes,
    )  # fmt: skip
