"""The table of the CountWerk endpoints: path, scope, types, examples, codes, and the functions that translate.

Here and in the documentation made from it are the codes that an endpoint gives by itself; those of all endpoints are
in `errors`.
"""

from typing import Final

from ..bodies import key_schema
from ..endpoint import Endpoint, Parameter
from . import buying
from . import translate as t
from .wire import (
    MAX_EVENT,
    Added,
    AddRequest,
    Balance,
    BalanceRequest,
    Cancelled,
    CancelRequest,
    Confirmed,
    ConfirmRequest,
    Deducted,
    DeductRequest,
    PurchaseLinks,
    PurchaseLinksRequest,
    Reserved,
    ReserveRequest,
    ResolvedOrder,
    ResolveOrderRequest,
    Transactions,
    TransactionsRequest,
)

# Documented where it is always read; what stands in for a field of the body is told with that field.
_KEY: Final = Parameter(
    name="Idempotency-Key",
    place="header",
    description=f"1 to {MAX_EVENT} printable ASCII characters, bare or in quotes: makes it safe to repeat.",
    schema=key_schema(MAX_EVENT),
)
_RESERVATION: Final = "hold_0198c5f0a1b27c3d8e4f5a6b7c8d9e0f"
_ENTRY: Final = "ent_0198c5f0a1b27c3d8e4f5a6b7c8d9e0f"
_SOURCE: Final = {"productId": "123456", "orderId": "AB12CD34", "transactionId": "987654321"}
_PROVIDER_CODES: Final = tuple(buying.TROUBLES.values())
_WORK_CODES: Final = ("MISSING_ACCOUNT_ID", "MISSING_OPERATION", "INVALID_OPERATION", "INVALID_AMOUNT")

ENDPOINTS: Final = (
    Endpoint(
        path="/api/credits/balance",
        operation_id="getBalance",
        summary="What an account has",
        description="An account that was never seen has a balance of 0. `balance` counts what is reserved; "
        "`availableBalance` does not.",
        scope="read",
        request=BalanceRequest,
        answer=Balance,
        example={"account_id": "user_42"},
        answered={
            "balance": 895,
            "reservedBalance": 20,
            "availableBalance": 875,
            "totalEarned": 1000,
            "totalSpent": 105,
            "nextExpiration": None,
        },
        codes=frozenset({"MISSING_ACCOUNT_ID"}),
        failure="BALANCE_ERROR",
        query=t.ask_balance,
        shared=True,
    ),
    Endpoint(
        path="/api/credits/deduct",
        operation_id="deductCredits",
        summary="Charge credits for a usage",
        description="Repeating a `usage_event_id` answers with the first answer and charges nothing; with another "
        "amount or operation it is refused. The header `Idempotency-Key` can stand in for it. A refusal is not "
        "remembered: after a top-up the same event may succeed.",
        scope="charge",
        request=DeductRequest,
        answer=Deducted,
        example={
            "account_id": "user_42",
            "operation": "chat.message",
            "amount": 5,
            "usage_event_id": "chat-7f3a-0001",
            "description": "A chat message",
            "metadata": {"model": "gpt-4o", "tokens": 1200},
        },
        answered={
            "transactionId": _ENTRY,
            "newBalance": 895,
            "deductedAmount": 5,
            "operation": "chat.message",
            "description": "A chat message",
        },
        codes=frozenset(
            {
                *_WORK_CODES,
                "MISSING_USAGE_EVENT_ID",
                "INVALID_USAGE_EVENT_ID",
                "INSUFFICIENT_CREDITS",
                "IDEMPOTENCY_CONFLICT",
            }
        ),
        failure="DEDUCTION_ERROR",
        read=t.read_deduct,
        write=t.write_deduct,
        shared=True,
    ),
    Endpoint(
        path="/api/credits/reserve",
        operation_id="reserveCredits",
        summary="Set credits aside for work in progress",
        description="They can't be spent otherwise until the reservation is confirmed or cancelled, or its time is "
        "over. Without the header `Idempotency-Key` a repeat is another reservation.",
        scope="charge",
        request=ReserveRequest,
        answer=Reserved,
        example={"account_id": "user_42", "operation": "image.generate", "amount": 20, "validityMinutes": 30},
        answered={
            "reservationId": _RESERVATION,
            "operation": "image.generate",
            "amount": 20,
            "expiresAt": "2026-01-01T12:30:00.000Z",
        },
        codes=frozenset({*_WORK_CODES, "INSUFFICIENT_CREDITS", "IDEMPOTENCY_CONFLICT"}),
        failure="RESERVATION_ERROR",
        parameters=(_KEY,),
        read=t.read_reserve,
        write=t.write_reserve,
    ),
    Endpoint(
        path="/api/credits/confirm-reservation",
        operation_id="confirmReservation",
        summary="Charge what reserved work has cost",
        description="Less than was reserved frees the rest; more takes the excess from what is available, or fails "
        "and leaves the reservation as it was. Confirming twice answers the same.",
        scope="charge",
        request=ConfirmRequest,
        answer=Confirmed,
        example={"reservationId": _RESERVATION, "actualAmount": 17.5},
        answered={"reservationId": _RESERVATION, "confirmed": True, "actualAmount": 17.5},
        codes=frozenset(
            {
                "MISSING_RESERVATION_ID",
                "INVALID_AMOUNT",
                "INSUFFICIENT_CREDITS",
                "RESERVATION_NOT_FOUND",
                "IDEMPOTENCY_CONFLICT",
            }
        ),
        failure="CONFIRMATION_ERROR",
        read=t.read_confirm,
        write=t.write_confirm,
    ),
    Endpoint(
        path="/api/credits/cancel-reservation",
        operation_id="cancelReservation",
        summary="Free reserved credits",
        description="Nothing is charged. Cancelling twice answers the same.",
        scope="charge",
        request=CancelRequest,
        answer=Cancelled,
        example={"reservationId": _RESERVATION, "reason": "The image could not be made"},
        answered={"reservationId": _RESERVATION, "cancelled": True, "reason": "The image could not be made"},
        codes=frozenset({"MISSING_RESERVATION_ID", "RESERVATION_NOT_FOUND"}),
        failure="CANCELLATION_ERROR",
        read=t.read_cancel,
        write=t.write_cancel,
    ),
    Endpoint(
        path="/api/credits/add",
        operation_id="addCredits",
        summary="Give the credits of a purchase",
        description="Makes the account where there is none. A payment is credited once: repeating its `transactionId` "
        "answers with the first answer, also where the payment was told of in another way before.",
        scope="grant",
        request=AddRequest,
        answer=Added,
        example={"account_id": "user_42", "amount": 900, "source": _SOURCE, "description": "Starter pack"},
        answered={"transactionId": _ENTRY, "newBalance": 900, "addedAmount": 900},
        codes=frozenset(
            {
                "MISSING_ACCOUNT_ID",
                "INVALID_AMOUNT",
                "MISSING_SOURCE",
                "INVALID_SOURCE",
                "MISSING_PRODUCT_ID",
                "MISSING_ORDER_ID",
                "MISSING_TRANSACTION_ID",
                "IDEMPOTENCY_CONFLICT",
            }
        ),
        failure="ADD_CREDITS_ERROR",
        read=t.read_add,
        write=t.write_add,
    ),
    Endpoint(
        path="/api/credits/transactions",
        operation_id="listTransactions",
        summary="What moved an account's balance",
        description="Newest first. `nextCursor` is null on the last page.",
        scope="read",
        request=TransactionsRequest,
        answer=Transactions,
        example={"account_id": "user_42", "limit": 2},
        answered={
            "transactions": [
                {
                    "id": _ENTRY,
                    "type": "charge",
                    "amount": -5,
                    "balanceAfter": 895,
                    "operation": "chat.message",
                    "description": "A chat message",
                    "metadata": {"model": "gpt-4o", "tokens": 1200},
                    "createdAt": "2026-01-01T12:00:00.000Z",
                },
            ],
            "nextCursor": None,
        },
        codes=frozenset({"MISSING_ACCOUNT_ID"}),
        failure="TRANSACTIONS_ERROR",
        query=t.ask_transactions,
    ),
    Endpoint(
        path="/api/credits/resolve-order",
        operation_id="resolveOrder",
        summary="Whose an order is, and what for",
        description="By the provider's id of it. An order that Digistore24 knows, and that was not told of yet or that "
        "nobody knows the account of, is not mapped yet: ask again later.",
        scope="read",
        request=ResolveOrderRequest,
        answer=ResolvedOrder,
        example={"order_id": "AB12CD34"},
        answered={"order_id": "AB12CD34", "account_id": "user_42", "ai_product_id": "assistant"},
        codes=frozenset({"MISSING_ORDER_ID", "ORDER_NOT_FOUND", "ORDER_NOT_MAPPED_YET", *_PROVIDER_CODES}),
        failure="INTERNAL_ERROR",
        act=buying.resolve_order,
        only_reads=True,
    ),
    Endpoint(
        path="/api/purchase-links",
        operation_id="createPurchaseLinks",
        summary="What an account may buy, and where",
        description="Upgrades by rank, then downgrades by rank, then top-ups, the most credits first; each link is "
        "made by Digistore24 for this account, and lives for a day. What can't be bought is disabled, and says why. "
        "When Digistore24 can't be asked, the error has all options under `data`, disabled.",
        scope="read",
        request=PurchaseLinksRequest,
        answer=PurchaseLinks,
        example={"ai_product_id": "assistant", "account_id": "user_42", "buyer_email": "ann@example.com"},
        answered={
            "ai_product_id": "assistant",
            "account_id": "user_42",
            "current_order_id": "AB12CD34",
            "current_tier_product_id": "500001",
            "options": [
                {
                    "type": "topup",
                    "linkMode": "create_buy_url",
                    "effectiveAtPolicy": "immediate",
                    "expectedPolicy": "immediate",
                    "enabled": True,
                    "disabledReason": None,
                    "toProductId": "500011",
                    "fromProductId": "500001",
                    "url": "https://www.checkout-ds24.com/product/500011/x7Qk",
                    "label": "500 credits",
                    "description": "9.00 EUR",
                },
            ],
        },
        codes=frozenset({"INVALID_INPUT", "MISSING_PRODUCT_ID", "MISSING_ACCOUNT_ID", *_PROVIDER_CODES}),
        failure="INTERNAL_ERROR",
        act=buying.purchase_links,
        only_reads=True,
    ),
)
