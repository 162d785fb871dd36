"""What a notification says: the names and forms of a real message, 173 of them for a payment; and its signature.

The signature is made here anew, not taken from whoever reads it: what both understood wrongly would never be seen.
"""

import hashlib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Final
from urllib.parse import urlencode

from .clock import text_of
from .model import MERCHANT_ID, MERCHANT_NAME, Connection, Line, Money, Order, Product, cents

VERSION: Final = "1.6"
TRANSACTION_OF: Final = {
    "on_payment": "payment",
    "on_payment_subscription_signup": "payment",
    "on_refund": "refund",
    "on_chargeback": "chargeback",
    "on_payment_missed": "payment_missed",
    "payment_denial": "payment_denial",
    "on_rebill_cancelled": "rebill_cancelled",
    "on_rebill_resumed": "rebill_resumed",
    "last_paid_day": "last_paid_day",
}
"""What a connection has to ask for to be told of an event; others go by their category."""
CATEGORY_OF: Final = {"eticket": "etickets", "custom_form": "customforms", "on_affiliation": "affiliations"}
_VAT: Final = {"DE": Decimal("19.00"), "AT": Decimal("20.00"), "CH": Decimal("8.10")}
_SHARE: Final = Decimal("0.079")
_FEE: Final = Decimal("1.00")
_PLACES: Final = ("city", "company", "mobile_no", "phone_no", "state", "street", "street2", "tax_id", "zipcode")
_MORE_PLACES: Final = ("salutation", "salutation_name", "street_name", "street_number", "title")
_EMPTY: Final = (
    "affiliate_id affiliate_name campaignkey click_id license_accessdata_keys orderform_referrer_url payplan_id "
    "promoclick_referrer_url rebill_stop_noted_at salesteam_id salesteam_name tag tags trackingkey upsell_path "
    "utm_campaign utm_content utm_medium utm_source utm_term voucher_code"
)


def sign(fields: Mapping[str, str], passphrase: str, upper: bool) -> str:
    """As the algorithm is published: keys in order, empty values skipped, the passphrase after each pair."""
    text = ""
    for key in sorted(fields, key=lambda key: key.upper() if upper else key):
        if fields[key] != "" and key.lower() not in ("sha_sign", "shasign"):
            text += (key.upper() if upper else key) + "=" + fields[key] + passphrase
    return hashlib.sha512(text.encode("utf-8")).hexdigest().upper()


def body_of(fields: dict[str, str], connection: Connection, upper: bool) -> str:
    """The signed body."""
    return urlencode(fields | {"sha_sign": sign(fields, connection.passphrase, upper)})


def connection_test(connection: Connection) -> dict[str, str]:
    """The test that a button sends: the merchant, and nothing of an order or of the connection."""
    return {
        "event": "connection_test",
        "merchant_id": MERCHANT_ID,
        "merchant_name": MERCHANT_NAME,
        "api_mode": "live",
        "ipn_version": VERSION,
        "language": "en",
    }


def fields_of(
    event: str, order: Order, money: Money | None, product: Product, connection: Connection, *, with_custom: bool = True
) -> dict[str, str]:  # fmt: skip
    """All fields of a notification of an order."""
    line = order.lines[0 if money is None else money.line]
    fields = {
        **dict.fromkeys(_EMPTY.split(), ""),
        **_people(order),
        **_money(order, money),
        **_order(order, line, product),
        **_plan(order),
        **_links(order, money),
        **_connection(connection),
        **{f"placeholder_{name}": text for name, text in order.placeholders.items()},
        "api_mode": "test" if order.test else "live",
        "custom": order.custom if with_custom else "",
        "event": event,
    }
    if order.order_type == "upgrade":
        fields |= {
            "upgraded_order_id": order.upgraded_order_id,
            "upgrade_type": order.upgrade_type,
            "delivery_date": text_of(order.delivery_date)[:10],
        }
    return fields


def _people(order: Order) -> dict[str, str]:
    return {
        **dict(_address("address", order)),
        **dict(_address("billing", order)),
        **{f"buyer_address_{name}": "" for name in _PLACES},
        "buyer_address_country": order.country,
        "buyer_address_id": order.buyer_id,
        "address_country_name": order.country,
        "buyer_email": order.email,
        "buyer_first_name": order.first_name,
        "buyer_id": order.buyer_id,
        "buyer_language": "en",
        "buyer_last_name": order.last_name,
        "country": order.country,
        "custom_key": f"{order.buyer_id}-{order.purchase_key}",
        "customer_affiliate_name": f"user{order.buyer_id}",
        "customer_affiliate_promo_url": f"https://www.checkout-ds24.com/redir/{order.product_id}/user{order.buyer_id}/",
        "email": order.email,
        "is_gdpr_country": "N" if order.country == "CH" else "Y",
        "language": "en",
        "language_name": "English",
        "newsletter_choice": "none",
        "newsletter_choice_msg": "No entry",
    }


def _address(prefix: str, order: Order) -> Iterator[tuple[str, str]]:
    yield from ((f"{prefix}_{name}", "") for name in (*_PLACES, *_MORE_PLACES))
    known = {"country": order.country, "first_name": order.first_name, "id": order.buyer_id}
    yield from ((f"{prefix}_{name}", text) for name, text in (known | {"last_name": order.last_name}).items())


def _money(order: Order, money: Money | None) -> dict[str, str]:
    """Amounts have no sign: what moved which way is the type's to say."""
    amount = Decimal(0) if money is None else money.amount
    rate = _VAT.get(order.country, Decimal("0.00"))
    net = cents(amount * 100 / (100 + rate))
    provider = cents(min(net, net * _SHARE + _FEE))
    vat, payout = str(amount - net), str(net - provider)
    zero = "amount_affiliate amount_credited amount_fee amount_main_affiliate amount_partner"
    told = {
        **dict.fromkeys(zero.split(), "0.00"), "amount": str(cents(amount)), "amount_brutto": str(cents(amount)),
        "amount_netto": str(net), "amount_payout": payout, "amount_provider": str(provider), "amount_vat": vat,
        "amount_vendor": payout, "currency": order.plan.currency, "vat_amount": vat, "vat_rate": str(rate),
        "product_amount": str(amount), "product_netto_amount": str(net), "product_shipping_amount": "0",
        "product_txn_amount": str(amount), "product_txn_netto_amount": str(net), "product_txn_shipping": "0",
        "product_txn_vat_amount": vat, "product_vat_amount": vat, "pay_method": order.pay_method,
        "pay_sequence_no": str(0 if order.plan.installments == 1 else order.sequence),
    }  # fmt: skip
    if money is None:
        return told
    return told | {
        "transaction_amount": str(money.amount),
        "transaction_vat_amount": vat,
        "transaction_currency": money.currency,
        "transaction_date": text_of(money.at)[:10],
        "transaction_time": text_of(money.at)[11:],
        "transaction_id": money.id,
        "transaction_type": money.type,
        "parent_transaction_id": money.parent_id,
        "payment_id": money.payment_id,
        "pay_method": money.pay_method,
        "pay_sequence_no": str(money.sequence),
    }


def _order(order: Order, line: Line, product: Product) -> dict[str, str]:
    made = text_of(order.created_at)
    return {
        "billing_descriptor": order.id, "billing_status": order.status, "billing_type": order.plan.billing_type,
        "has_custom_forms": "N", "image_url": "",
        "is_payment_planned": "Y" if order.rebilling else "N", "item_count": str(len(order.lines)),
        "merchant_id": MERCHANT_ID, "merchant_name": MERCHANT_NAME, "order_date": made[:10], "order_date_time": made,
        "order_id": order.id, "order_item_id": line.item_id, "order_time": made[11:], "order_type": order.order_type,
        "orderform_id": "1", "product_delivery_type": "digital", "product_id": line.product_id,
        "product_language": "en", "product_name": product.name, "product_name_intern": product.name,
        "purchase_key": order.purchase_key, "quantity": str(line.quantity), "refund_days": "14",
        "upgrade_key": order.purchase_key, "upsell_no": str(order.lines.index(line)),
    }  # fmt: skip


def _plan(order: Order) -> dict[str, str]:
    plan = order.plan
    first, other = sum(line.first for line in order.lines), sum(line.other for line in order.lines)
    repeats = plan.installments != 1
    told = {
        "first_amount": str(cents(Decimal(first))),
        "first_vat_amount": "0.00",
        "monthly_amount": "0.00",
        "monthly_vat_amount": "0.00",
        "number_of_installments": str(plan.installments),
        "other_amounts": str(cents(Decimal(other))) if repeats else "0.00",
        "other_vat_amounts": "0.00",
    }
    if repeats:
        told |= {
            "first_billing_interval": plan.first_interval,
            "other_billing_intervals": plan.other_interval,
            "next_payment_at": text_of(order.next_payment_at)[:10] if order.rebilling else "",
            "billing_stop_reason": order.stop_reason,
        }
    return told


def _links(order: Order, money: Money | None) -> dict[str, str]:
    shop, office = "https://www.checkout-ds24.com", "https://www.digistore24.com"
    key = f"{order.id}/{order.purchase_key}"
    return {
        "add_url": f"{shop}/order/add/{key}",
        "checkout_url": f"{shop}/product/{order.product_id}",
        "invoice_url": "" if money is None else f"{office}/invoice/{order.id}/{money.id}.pdf",
        "order_details_url": f"https://www.digistore24-app.com/vendor/reports/transactions/order/{order.id}",
        "rebilling_stop_url": f"{office}/order/stop/{key}" if order.rebilling else "",
        "receipt_url": f"{shop}/receipt/{order.product_id}/{key}",
        "renew_url": f"{shop}/renew/{key}",
        "request_refund_url": f"{office}/order/cancel/{key}",
        "store_url": f"{shop}/product/{order.product_id}",
        "support_url": f"{office}/support/{key}",
        "switch_pay_interval_url": f"{shop}/order/switch/{key}",
    }


def _connection(connection: Connection) -> dict[str, str]:
    return {
        "ipn_config_api_key_id": connection.key_id,
        "ipn_config_domain_id": connection.domain_id,
        "ipn_config_id": connection.id,
        "ipn_config_product_ids": connection.product_ids,
        "ipn_version": VERSION,
    }
