"""The books: what was paid, went back and is disputed, by payment and by currency; what a ledger is compared with.

They are made of what has moved, written down when it did, and not of the objects that are answered.
"""

from collections.abc import Mapping
from typing import Final

from .params import Json
from .world import Move, World

_SUMS: Final = ("paid", "refunded", "disputed", "lost", "kept")
_EFFECTS: Final[Mapping[str, tuple[tuple[str, int], ...]]] = {
    "paid": (("paid", 1),),
    "refunded": (("refunded", 1),),
    "refund_failed": (("refunded", -1),),
    "disputed": (("disputed", 1),),
    "dispute_won": (("disputed", -1),),
    "dispute_lost": (("disputed", -1), ("lost", 1)),
}


def books(world: World) -> Json:
    """All of it. `kept` is what has stayed: paid, less refunded, less what is disputed now or was lost."""
    payments: dict[str, Json] = {}
    for move in world.moves:
        _book(payments.setdefault(move.payment_intent, _page(world, move)), move)
    totals: dict[str, dict[str, int]] = {}
    for each in payments.values():
        each["kept"] = each["paid"] - each["refunded"] - each["disputed"] - each["lost"]
        sums = totals.setdefault(each["currency"], dict.fromkeys(_SUMS, 0))
        for name in _SUMS:
            sums[name] += each[name]
    return {"payments": payments, "totals": totals}


def _page(world: World, move: Move) -> Json:
    intent = world.find("payment_intent", move.payment_intent)
    invoice = world.by_id(intent.get("_invoice") or "")
    details = invoice["parent"]["subscription_details"] if invoice else {}
    session = world.by_id(intent.get("_session") or "")
    return {
        **dict.fromkeys(_SUMS, 0),
        "currency": move.currency,
        "livemode": intent["livemode"],
        "customer": intent["customer"],
        "metadata": intent["metadata"] or details.get("metadata") or {},
        "session": session and session["id"],
        "invoice": invoice and invoice["id"],
        "subscription": details.get("subscription"),
        "moves": [],
    }


def _book(page: Json, move: Move) -> None:
    for name, sign in _EFFECTS[move.kind]:
        page[name] += sign * move.amount
    page["moves"].append({"at": move.at, "kind": move.kind, "amount": move.amount, "charge": move.charge})
