"""Webhooks: where the workspace has its events sent. A secret is shown when it is made, and never again."""

from collections.abc import Sequence
from typing import Any, Final

from farthing.core.endpoints import (
    MOST_ENDPOINTS,
    MOST_OVERLAP_SECONDS,
    MOST_TYPES,
    OVERLAP_SECONDS,
    WebhookEndpoint,
    fingerprint,
)
from farthing.outbox.endpoints import distinct, event_of_test, new_endpoint, new_secret, problems_of
from farthing.stores.access import AccessError, Once
from farthing.stores.endpoints import ShownEndpoint, shown

from ..endpoint import Endpoint, Parameter, Reply, Request
from .administration import act_of, answer, once, told
from .desk import Desk
from .fields import Fields, Form
from .parameters import in_path
from .problems import Wrong
from .reading import Listed, Params, listed_example, named, not_found
from .webhook_views import (
    MOST_SHOWN,
    DeleteWebhookRequest,
    MadeWebhookView,
    RotateWebhookRequest,
    TestView,
    TestWebhookRequest,
    WaitingView,
    WebhookChanges,
    WebhookRequest,
    WebhookView,
    WholeWebhookView,
    time_if,
    webhook_fields,
)

# Reading


async def list_webhooks(request: Request, desk: Desk) -> Listed[WebhookView]:
    """All endpoints of the workspace: there are few."""
    Params(request).check()
    found, now = await desk.endpoints.of(request.caller.workspace.id), desk.now_us()
    return Listed([WebhookView(**webhook_fields(shown(each), now)) for each in found], False, None)


async def get_webhook(request: Request, desk: Desk) -> WholeWebhookView:
    """One endpoint."""
    Params(request).check()
    endpoint = await found(request, desk)
    waiting = [
        WaitingView(each.event, each.account or None, each.attempts, time_if(each.due_at))
        for each in await desk.outbox.waiting(endpoint.workspace, endpoint.id, MOST_SHOWN)
    ]
    return WholeWebhookView(**webhook_fields(shown(endpoint), desk.now_us()), waiting=waiting)


async def found(request: Request, desk: Desk) -> WebhookEndpoint:
    """The endpoint that the path names."""
    endpoint = await desk.endpoints.get(request.caller.workspace.id, named(request, "id", "webhook"))
    if endpoint is None:
        raise not_found("webhook")
    return endpoint


# Writing

_create, _update, _rotate = Form(WebhookRequest), Form(WebhookChanges), Form(RotateWebhookRequest)
_delete, _test = Form(DeleteWebhookRequest), Form(TestWebhookRequest)


async def create_webhook(request: Request, desk: Desk) -> Reply:
    """Make an endpoint."""
    fields = _create.read(request)
    url, types, given = _url(fields), _types(fields), _secret(fields)
    for name, value in (("url", url), ("types", types)):
        if value is None:
            fields.refuse(name, "is missing")
    description, ordered = fields.words() or "", fields.flag("ordered")
    _check(fields, desk, url=url, types=types, secret=given)
    under = once(
        fields, url=url, types=types, description=description, ordered=ordered, secret=fingerprint(given or "")
    )  # fmt: skip
    act, secret = act_of(request, desk), given or new_secret()
    endpoint = new_endpoint(
        request.caller.workspace.id, url or "", types or (), secret, act.at, description=description, ordered=ordered
    )  # fmt: skip
    try:
        made = await desk.endpoints.create(endpoint, act, under)
    except AccessError as error:
        raise told(error) from error
    place = ((b"location", f"/v1/webhooks/{made.id}".encode()),)
    return answer(under, _made(made, under, secret, act.at), 201, place)


async def update_webhook(request: Request, desk: Desk) -> Reply:
    """Change an endpoint."""
    fields, id = _update.read(request), named(request, "id", "webhook")
    changes: dict[str, Any] = {"url": _url(fields), "types": _types(fields)}
    _check(fields, desk, **changes)
    if changes["types"] is not None:
        changes["types"] = distinct(changes["types"])
    changes["description"] = fields.words() if not _is_null(fields, "description") else ""
    changes |= {name: fields.flag(name) if _is_set(fields, name) else None for name in ("ordered", "enabled")}
    changes = {name: value for name, value in changes.items() if value is not None}
    if not changes and not fields.wrong:
        fields.wrong.append(Wrong(pointer="", detail=f"must have something to change: one of {', '.join(_CHANGEABLE)}"))
    under, act = once(fields, webhook=id, **changes), act_of(request, desk)
    try:
        made = await desk.endpoints.update(request.caller.workspace.id, id, changes, act, under)
    except AccessError as error:
        raise told(error) from error
    return answer(under, WebhookView(**webhook_fields(made, act.at)))


async def rotate_secret(request: Request, desk: Desk) -> Reply:
    """Give an endpoint a new secret."""
    fields, id = _rotate.read(request), named(request, "id", "webhook")
    given = _secret(fields)
    seconds = fields.whole("overlap_seconds", 0, MOST_OVERLAP_SECONDS, OVERLAP_SECONDS)
    _check(fields, desk, secret=given)
    under = once(fields, webhook=id, overlap_seconds=seconds, secret=fingerprint(given or ""))
    act, secret, workspace = act_of(request, desk), given or new_secret(), request.caller.workspace.id
    try:
        made = await desk.endpoints.rotate(workspace, id, secret, seconds * 1_000_000, act, under)
    except AccessError as error:
        raise told(error) from error
    return answer(under, _made(made, under, secret, act.at))


async def delete_webhook(request: Request, desk: Desk) -> Reply:
    """Forget an endpoint."""
    fields, id = _delete.read(request), named(request, "id", "webhook")
    under, act = once(fields, webhook=id), act_of(request, desk)
    try:
        gone = await desk.endpoints.remove(request.caller.workspace.id, id, act, under)
    except AccessError as error:
        raise told(error) from error
    return answer(under, WebhookView(**webhook_fields(gone, act.at)))


async def send_test(request: Request, desk: Desk) -> Reply:
    """Send an event of a test."""
    fields, id = _test.read(request), named(request, "id", "webhook")
    under, act = once(fields, webhook=id), act_of(request, desk)
    event = event_of_test(request.caller.workspace.id, id, act.at)
    try:
        sent = await desk.endpoints.test(event, id, act, under)
    except AccessError as error:
        raise told(error) from error
    return answer(under, TestView(webhook=id, event=sent), 201)


def _made(made: ShownEndpoint, under: Once, secret: str, at: int) -> MadeWebhookView:
    return MadeWebhookView(
        **webhook_fields(made, at), secret=None if under.replayed or under.dry_run else secret
    )  # fmt: skip


# What is asked


def _url(fields: Fields) -> str | None:
    """It may be longer than other texts are: what is wrong with it is said with the others."""
    value = fields.values.url
    if not _is_set(fields, "url"):
        return None
    if type(value) is not str or not value:
        fields.refuse("url", "must be a text")
        return None
    return str(value)


def _types(fields: Fields) -> tuple[str, ...] | None:
    return fields.texts("types", MOST_TYPES) if _is_set(fields, "types") else None


def _secret(fields: Fields) -> str | None:
    return fields.text_if("secret") or None


def _is_set(fields: Fields, name: str) -> bool:
    return fields.given(name) and getattr(fields.values, name) is not None


def _is_null(fields: Fields, name: str) -> bool:
    return fields.given(name) and getattr(fields.values, name) is None


def _check(
    fields: Fields, desk: Desk, *, url: str | None = None, types: Sequence[str] | None = None, secret: str | None = None
) -> None:  # fmt: skip
    if fields.wrong:
        types = None  # what is no list of texts was told
    for name, wrong in problems_of(url=url, types=types, secret=secret, allow_private=desk.private_webhooks):
        fields.refuse(*name.split("/")[:1], wrong, *name.split("/")[1:])


_CHANGEABLE: Final = ("url", "types", "description", "ordered", "enabled")
WEBHOOK_ID: Final = "whe_0198c5f0a1b27c3d8e4f5a6b7c8d9000"
_EXAMPLE: Final[dict[str, Any]] = {
    "id": WEBHOOK_ID, "url": "https://app.example.com/farthing", "types": ["balance.*", "grant.lapsed"],
    "description": "tells customers", "ordered": False, "state": "enabled", "reason": None, "failing_since": None,
    "secrets": [{"hint": "x7Q=", "until": None}], "created_at": "2026-01-01T12:00:00.000000Z",
    "updated_at": "2026-01-01T12:00:00.000000Z",
}  # fmt: skip
_MADE: Final[dict[str, Any]] = {**_EXAMPLE, "secret": "whsec_..."}
_WAITING: Final[dict[str, Any]] = {
    "event": "evt_0198c5f0a1b27c3d8e4f5a6b7c8d9e0f", "account": "user_42", "attempts": 1,
    "next_at": "2026-01-31T12:05:00.000000Z",
}  # fmt: skip
WEBHOOK: Final[Parameter] = in_path("id", "The webhook's id.", WEBHOOK_ID)

ENDPOINTS: Final = (
    Endpoint(
        method="GET",
        path="/v1/webhooks",
        operation_id="listWebhooks",
        summary="Where events are sent",
        description="Oldest first, all of them; secrets are never shown.",
        scope="admin",
        request=None,
        answer=Listed[WebhookView],
        example={},
        answered=listed_example(_EXAMPLE),
        codes=frozenset(),
        act=list_webhooks,
    ),
    Endpoint(
        path="/v1/webhooks",
        operation_id="createWebhook",
        summary="Have events sent somewhere",
        description="Messages are those of Standard Webhooks, signed with the `secret` that the answer shows this "
        f"once. Every process tells of what is committed from then on. A workspace has at most {MOST_ENDPOINTS}.",
        scope="admin",
        request=WebhookRequest,
        answer=MadeWebhookView,
        example={"url": "https://app.example.com/farthing", "types": ["balance.*", "grant.lapsed"]},
        answered=_MADE,
        codes=frozenset({"too_many_webhooks"}),
        act=create_webhook,
        status=201,
        location="/v1/webhooks/{id}",
        keyed=True,
    ),
    Endpoint(
        method="GET",
        path="/v1/webhooks/{id}",
        operation_id="getWebhook",
        summary="One webhook",
        description="Its secret is never shown.",
        scope="admin",
        request=None,
        answer=WholeWebhookView,
        example={},
        answered={**_EXAMPLE, "waiting": [_WAITING]},
        codes=frozenset({"webhook_not_found"}),
        act=get_webhook,
        parameters=(WEBHOOK,),
    ),
    Endpoint(
        method="PATCH",
        path="/v1/webhooks/{id}",
        operation_id="updateWebhook",
        summary="Change a webhook",
        description="What is left out stays. Disabled, it is told of nothing that happens; what waited for it is sent "
        "once it is enabled again.",
        scope="admin",
        request=WebhookChanges,
        answer=WebhookView,
        example={"types": ["balance.*"]},
        answered=_EXAMPLE,
        codes=frozenset({"webhook_not_found"}),
        act=update_webhook,
        keyed=True,
        parameters=(WEBHOOK,),
    ),
    Endpoint(
        method="DELETE",
        path="/v1/webhooks/{id}",
        operation_id="deleteWebhook",
        summary="Send events there no more",
        description="What waits for it is not sent.",
        scope="admin",
        request=DeleteWebhookRequest,
        answer=WebhookView,
        example={},
        answered=_EXAMPLE,
        codes=frozenset({"webhook_not_found"}),
        act=delete_webhook,
        keyed=True,
        parameters=(WEBHOOK,),
    ),
    Endpoint(
        path="/v1/webhooks/{id}/rotate-secret",
        operation_id="rotateWebhookSecret",
        summary="Give a webhook a new secret",
        description="The old one signs as well for `overlap_seconds`, a day unless you say otherwise.",
        scope="admin",
        request=RotateWebhookRequest,
        answer=MadeWebhookView,
        example={"overlap_seconds": 3600},
        answered=_MADE,
        codes=frozenset({"webhook_not_found"}),
        act=rotate_secret,
        keyed=True,
        parameters=(WEBHOOK,),
    ),
    Endpoint(
        path="/v1/webhooks/{id}/test",
        operation_id="testWebhook",
        summary="Send a webhook an event of a test",
        description="Of the type `webhook.test`, whatever types it asks for. The list of its deliveries says what came "
        "of it.",
        scope="admin",
        request=TestWebhookRequest,
        answer=TestView,
        example={},
        answered={"webhook": WEBHOOK_ID, "event": "evt_0198c5f0a1b27c3d8e4f5a6b7c8d9e0f"},
        codes=frozenset({"webhook_not_found", "webhook_disabled"}),
        act=send_test,
        status=201,
        keyed=True,
        parameters=(WEBHOOK,),
    ),
)
