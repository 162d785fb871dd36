"""Standing: an account before and after an administrative act, as the audit log shows it to people."""

from typing import Any

import msgspec
from msgspec.structs import asdict

from .amounts import write_amount
from .auto_top_up import AutoTopUp
from .records import AccountSettings

_AMOUNTS = ("balance", "held", "debt")
_CAPS = ("cap_day", "cap_month", "enabled", "threshold")
_TOP_UP_AMOUNTS = ("threshold", "amount", "cap_day", "cap_month")
_LIMITS = ("spend_limit_day", "spend_limit_month", "balance_low", "balance_critical")


def write_standings(before: Any, after: Any, scale: int) -> tuple[Any, Any]:
    """Both as they were kept, with amounts as decimal text; settings where they are not the same. None stays None: the
    account was not there."""
    same = before is not None and after is not None and before["settings"] == after["settings"]
    return _written(before, scale, same), _written(after, scale, same)


def _written(kept: Any, scale: int, without_settings: bool) -> Any:
    if kept is None:
        return None
    told: dict[str, Any] = {name: write_amount(kept[name], scale) for name in _AMOUNTS}
    if not without_settings:
        told["settings"] = _settings(msgspec.convert(kept["settings"], AccountSettings), scale)
    return told


def _settings(settings: AccountSettings, scale: int) -> dict[str, Any]:
    amounts = {name: getattr(settings, name) for name in _LIMITS}
    return {
        "allowance": write_amount(settings.allowance, scale),
        "frozen": settings.frozen,
        **{name: None if amount is None else write_amount(amount, scale) for name, amount in amounts.items()},
        "timezone": settings.timezone,
        "auto_top_up": None if settings.auto_top_up is None else _top_up(settings.auto_top_up, scale),
    }


def _top_up(settings: AutoTopUp, scale: int) -> dict[str, Any]:
    """As it is set; what is not, is left out."""
    told = {name: value for name, value in asdict(settings).items() if value not in (None, "", 0) or name in _CAPS}
    amounts = {name: write_amount(told[name], scale) for name in _TOP_UP_AMOUNTS if told.get(name) is not None}
    return told | amounts
