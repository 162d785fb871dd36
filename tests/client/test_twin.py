"""The two clients are one; what they know of the API is what the API says."""

import ast
import inspect
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

import farthing
from farthing.api.v1.face import ENDPOINTS
from farthing.api.v1.problems import CODES
from farthing.client import (
    admin_results,
    errors,
    job_results,
    payment_results,
    plan_results,
    pricing_results,
    product_results,
    report_results,
    results,
    statement_results,
    top_up_results,
    webhook_results,
)
from farthing.client.answers import Answer, read_answer
from farthing.client.calls import Call
from farthing.client.forms import Page, Result
from farthing.core.records import WorkspaceSettings
from tests.client import twin

BY_ID = {endpoint.operation_id: endpoint for endpoint in ENDPOINTS}
ANSWERS: dict[str, Any] = {
    "createCharge": results.Charge,
    "createCharges": pricing_results.BulkDone,
    "refundCharge": results.Refund,
    "createRefund": results.Refund,
    "createGrant": results.Grant,
    "voidGrant": results.Voided,
    "createHold": results.Hold,
    "settleHold": results.Settled,
    "extendHold": results.Extended,
    "releaseHold": results.Released,
    "adjustAccount": results.Adjustment,
    "eraseAccount": admin_results.AccountErased,
    "setBalance": results.Adjustment,
    "listPlans": Page[plan_results.Plan],
    "showPlan": plan_results.Plan,
    "putPlan": plan_results.Plan,
    "archivePlan": plan_results.Plan,
    "listProducts": Page[product_results.Product],
    "showProduct": product_results.Product,
    "putProduct": product_results.Product,
    "archiveProduct": product_results.Product,
    "listProviders": Page[product_results.Provider],
    "showProvider": product_results.Provider,
    "putProvider": product_results.Provider,
    "removeProvider": product_results.Provider,
    "createLinks": product_results.PurchaseLinks,
    "createCheckout": product_results.Checkout,
    "createPurchase": product_results.Purchase,
    "listPaymentMethods": Page[product_results.PaymentMethod],
    "preferPaymentMethod": product_results.PaymentMethod,
    "forgetPaymentMethod": product_results.MethodForgotten,
    "createPortal": product_results.Portal,
    "showAutoTopUp": top_up_results.AutoTopUp,
    "putAutoTopUp": top_up_results.AutoTopUpChanged,
    "removeAutoTopUp": top_up_results.AutoTopUpChanged,
    "listTopUpAttempts": Page[top_up_results.TopUpAttempt],
    "listPausedTopUps": Page[top_up_results.PausedTopUp],
    "resumeAutoTopUp": top_up_results.AutoTopUpResumed,
    "checkAutoTopUp": top_up_results.AutoTopUpChecked,
    "listOrders": Page[product_results.OrderLine],
    "showOrder": product_results.Order,
    "claimOrder": product_results.Order,
    "showSubscription": plan_results.Subscription,
    "listSubscriptions": Page[plan_results.Subscription],
    "subscribe": plan_results.SubscriptionChanged,
    "renewSubscription": plan_results.SubscriptionChanged,
    "unsubscribe": plan_results.SubscriptionChanged,
    "resumeSubscription": plan_results.SubscriptionChanged,
    "changeSubscription": plan_results.SubscriptionChanged,
    "renewDue": plan_results.RenewalsDone,
    "listJobs": Page[job_results.Job],
    "retryJob": job_results.Job,
    "listEvents": Page[job_results.Event],
    "streamEvents": job_results.Event,
    "listWebhooks": Page[webhook_results.Webhook],
    "createWebhook": webhook_results.MadeWebhook,
    "getWebhook": webhook_results.Webhook,
    "updateWebhook": webhook_results.Webhook,
    "deleteWebhook": webhook_results.Webhook,
    "rotateWebhookSecret": webhook_results.MadeWebhook,
    "testWebhook": webhook_results.WebhookTest,
    "listDeliveries": Page[webhook_results.Delivery],
    "redeliver": webhook_results.Redelivered,
    "createAccount": results.Opened,
    "listAccounts": Page[results.Account],
    "showAccount": results.Account,
    "showBalance": results.Balance,
    "showAccountSettings": results.AccountSettings,
    "changeAccountSettings": results.AccountSettingsChanged,
    "listEntries": Page[results.Entry],
    "showEntry": results.Entry,
    "showStatement": statement_results.Statement,
    "listCharges": Page[results.ChargeNow],
    "showCharge": results.ChargeExplained,
    "listGrants": Page[results.GrantNow],
    "showGrant": results.GrantNow,
    "listHolds": Page[results.HoldNow],
    "showHold": results.HoldNow,
    "createQuote": pricing_results.Quote,
    "createEstimate": pricing_results.Estimate,
    "listRateCards": Page[pricing_results.CardLine],
    "showRateCard": pricing_results.Card,
    "listRateCardVersions": Page[pricing_results.CardVersionLine],
    "showRateCardVersion": pricing_results.CardVersionView,
    "addRateCardVersion": pricing_results.CardVersion,
    "withdrawRateCardVersion": pricing_results.CardVersion,
    "listModelPrices": Page[pricing_results.CataloguePrice],
    "listModelPriceHistory": Page[pricing_results.ModelPrice],
    "resolveModel": pricing_results.Resolved,
    "setModelPrice": pricing_results.CardVersion,
    "removeModelPrice": pricing_results.CardVersion,
    "showSettings": pricing_results.WorkspaceSettings,
    "changeSettings": pricing_results.WorkspaceSettings,
    "listUsage": Page[report_results.UsageRow],
    "listAccountUsage": Page[report_results.UsageRow],
    "showUsageStats": report_results.UsageStats,
    "showAccountUsageStats": report_results.UsageStats,
    "reportRevenue": report_results.RevenueReport,
    "reportModels": report_results.ModelReport,
    "reportAccounts": report_results.AccountReport,
    "reportSpend": report_results.SpendReport,
    "listQuarantine": Page[pricing_results.WaitingPrice],
    "activateModelPrice": pricing_results.ModelPrice,
    "refuseModelPrice": pricing_results.ModelPrice,
    "listPayments": Page[payment_results.Payment],
    "listUnmatchedPayments": Page[payment_results.Payment],
    "showPayment": payment_results.Payment,
    "assignPayment": payment_results.Payment,
    "tellParked": job_results.ParkedTold,
    "reconcilePayments": payment_results.Reconciled,
    "listProviderEvents": Page[payment_results.ProviderEvent],
    "showProviderEvent": payment_results.WholeProviderEvent,
    "retryProviderEvent": payment_results.EventRetried,
    "listAudit": Page[admin_results.AuditRecord],
    "listKeys": Page[admin_results.ApiKey],
    "createKey": admin_results.MadeKey,
    "showKey": admin_results.ApiKey,
    "rotateKey": admin_results.RotatedKey,
    "revokeKey": admin_results.ApiKey,
    "listIssuers": Page[admin_results.Issuer],
    "addIssuer": admin_results.Issuer,
    "removeIssuer": admin_results.Issuer,
    "listWorkspaceUsers": Page[admin_results.User],
    "showWorkspaceUser": admin_results.User,
    "listWorkspaces": Page[admin_results.WorkspaceLine],
    "createWorkspace": admin_results.WorkspaceLine,
    "showWorkspace": admin_results.WorkspaceLine,
    "createFirstKey": admin_results.MadeKey,
}
NOUNS = [
    *("", "accounts", "grants", "charges", "holds", "rate_cards", "prices", "reports", "settings"),
    *(
        "payments",
        "keys",
        "issuers",
        "users",
        "workspaces",
        "jobs",
        "events",
        "webhooks",
        "products",
        "providers",
        "purchases",
    ),
]
WITHOUT = {"exportUsage": "`export_usage` makes the same bytes of the pages of listUsage, which can be asked for again"}
"""Operations that the client does in another way."""
METHODS = {"get": "GET", "ask": "POST", "post": "POST", "put": "PUT", "patch": "PATCH", "delete": "DELETE"}
"""What makes a call, and its method."""


@pytest.mark.parametrize("room", [twin.CLIENT, twin.COMPAT], ids=["client", "compat"])
def test_what_is_synchronous_is_made_from_what_is_not(room: Path) -> None:
    made = twin.twins(room)
    found = {path.name: path.read_text() for path in (room / "sync").glob("*.py") if path.name != "__init__.py"}
    assert found == made, "run `python -m tests.client.twin`"


def public(of: type) -> dict[str, Any]:
    """Methods that callers see."""
    return {name: found for name, found in inspect.getmembers(of, inspect.isfunction) if not name.startswith("_")}


@pytest.mark.parametrize("noun", NOUNS)
def test_both_have_the_same_methods_with_signatures_and_docstrings(noun: str) -> None:
    door: Any = None
    clients = (farthing.Client(door), farthing.AsyncClient(door))
    one, other = (public(type(getattr(client, noun) if noun else client)) for client in clients)
    assert {"close" if name == "aclose" else name for name in other} == one.keys()
    for name, method in one.items():
        twin_method = other["aclose" if name == "close" else name]
        assert list(inspect.signature(method).parameters) == list(inspect.signature(twin_method).parameters)
        assert method.__doc__
        assert "return" in typing.get_type_hints(method)


@pytest.mark.parametrize("operation", sorted(ANSWERS))
def test_the_types_say_all_that_the_api_answers(operation: str) -> None:
    endpoint = BY_ID[operation]
    call: Call[Any] = Call(method="GET", template=endpoint.path, answer=ANSWERS[operation])
    found = read_answer(call, Answer(endpoint.status, msgspec.json.encode(endpoint.answered)))
    assert [each for each in within(found) if each.extra] == []


def within(value: Any) -> Iterator[Result]:
    """All results in a result."""
    if isinstance(value, Result):
        yield value
        for name in value.__struct_fields__:
            yield from within(getattr(value, name))
    elif isinstance(value, list):
        for each in value:
            yield from within(each)


def test_the_client_has_every_operation() -> None:
    assert BY_ID.keys() == ANSWERS.keys() | WITHOUT.keys()
    known = {(BY_ID[operation].method, BY_ID[operation].path) for operation in ANSWERS}
    assert known == {call for path in (twin.CLIENT / "aio").glob("*.py") for call in calls_of(path)}


def test_every_setting_of_a_workspace_can_be_changed() -> None:
    taken = inspect.signature(farthing.Client(cast(Any, None)).settings.change).parameters
    assert set(WorkspaceSettings.__struct_fields__) <= taken.keys()


def calls_of(path: Path) -> Iterator[tuple[str, str]]:
    """Method and path of each call that is made in a file. A path may have a name in the function, or in the file."""
    tree = ast.parse(path.read_text())
    outer = names_in(tree.body)
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            names = outer | names_in(function.body)
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in METHODS:
                    yield METHODS[node.func.id], text_of(node.args[1], names)


def names_in(body: list[ast.stmt]) -> dict[str, str]:
    """Texts that are given names there; such as are given several at once have each its own."""
    found: dict[str, Any] = {}
    for node in body:
        if isinstance(node, ast.Assign):
            to, value = node.targets[0], node.value
            pairs = (
                zip(to.elts, value.elts, strict=True)
                if isinstance(to, ast.Tuple) and isinstance(value, ast.Tuple)
                else [(to, value)]
            )
            found |= {
                name.id: text.value
                for name, text in pairs
                if isinstance(name, ast.Name) and isinstance(text, ast.Constant)
            }
    return {name: text for name, text in found.items() if isinstance(text, str)}


def text_of(node: ast.expr, names: dict[str, str]) -> str:
    """The text that an expression comes to."""
    if isinstance(node, ast.BinOp):
        return text_of(node.left, names) + text_of(node.right, names)
    found = names[node.id] if isinstance(node, ast.Name) else ast.literal_eval(node)
    assert isinstance(found, str)
    return found


def test_every_code_of_the_api_has_a_class() -> None:
    assert errors.BY_CODE.keys() == CODES.keys()


def test_the_same_is_tried_again_whether_one_goes_by_the_class_or_by_the_status() -> None:
    again = {code.code for code in CODES.values() if errors.BY_CODE[code.code].retries}
    assert again == {code.code for code in CODES.values() if code.status in (429, 503)} | {"unknown_outcome"}


def test_every_name_that_is_offered_is_there_and_documented() -> None:
    for name in farthing.__all__:
        assert getattr(farthing, name).__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        getattr(farthing, "nothing")  # noqa: B009 - as one writes it
