"""Erasing the texts of an account, for good."""

from functools import partial
from typing import Annotated, Final

from msgspec import Meta

from farthing.stores.access import AccessError

from ..endpoint import Endpoint, Reply, Request
from .account_settings import ACCOUNT
from .administration import Answered, Asked, act_of, answer, once, told
from .desk import Desk
from .fields import Form
from .reading import named, not_found
from .wire import text_of


class EraseRequest(Asked, kw_only=True):
    """What is to be erased, and why."""

    reason: Annotated[str, text_of("Why; it stays in the audit log.")]
    user: Annotated[bool | None, Meta(description="Also remove the person of that id.")] = False


class AccountErased(Answered, kw_only=True):
    """What was erased."""

    account: str
    entries: Annotated[int, Meta(description="That had a description or metadata.")]
    answers: Annotated[int, Meta(description="That were kept for the keys and payments of archived entries.")]
    messages: Annotated[int, Meta(description="Of payment providers, and buyers' addresses on orders.")]
    open: Annotated[int, Meta(description="Messages that are not carried out yet, and stay till then: erase again.")]
    acts: Annotated[int, Meta(description="Of the audit log, which tell no name and no address any more.")]
    user: Annotated[bool, Meta(description="A person was removed.")]
    archived: Annotated[
        bool, Meta(description="Entries are archived: `farthing accounts erase` erases their texts from the files.")
    ]


_form = Form(EraseRequest)


async def erase_account(request: Request, desk: Desk) -> Reply:
    """Erase an account's texts."""
    fields, id, workspace = _form.read(request), named(request, "account", "account"), request.caller.workspace.id
    reason, user = fields.text("reason"), fields.flag("user")
    under, act = once(fields, account=id, reason=reason, user=user), act_of(request, desk)
    # Who is erased is not charged by himself any more.
    switch_off = partial(desk.commerce.topping_up.switch_off, workspace, id, act)
    try:
        done = await desk.erasing.erase(
            workspace, id, act, reason, user=user, once=under, dry_run=under.dry_run, begin=switch_off
        )
    except AccessError as error:
        if error.code == "account_not_found":
            raise not_found("account") from error
        raise told(error) from error
    return answer(
        under,
        AccountErased(
            account=id, entries=done.entries, answers=done.answers, messages=done.messages, open=done.open,
            acts=done.acts, user=done.user, archived=done.archived,
        ),
    )  # fmt: skip


ENDPOINTS: Final = (
    Endpoint(
        path="/v1/accounts/{account}/erase",
        operation_id="eraseAccount",
        summary="Erase an account's texts",
        description="Descriptions and metadata of all its entries, for good. Credits, entries, keys and the account's "
        "id stay, and the account can be used as before; but nothing is bought for it by itself any more.",
        scope="admin",
        request=EraseRequest,
        answer=AccountErased,
        example={"reason": "The customer asked for it on 2026-11-21"},
        answered={
            "account": "user_42", "entries": 7, "answers": 0, "messages": 0, "open": 0, "acts": 0, "user": False,
            "archived": False,
        },
        codes=frozenset({"account_not_found"}),
        act=erase_account,
        keyed=True,
        parameters=(ACCOUNT,),
    ),
)  # fmt: skip
