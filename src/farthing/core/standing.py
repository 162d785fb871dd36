"""Standing: an account before and after an administrative act, as the audit log shows it to people."""

from typing import Any

import msgspec

from .amounts import write_amount
from .records import AccountSettings

_AMOUNTS = ("balance", "held", "debt")


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
    day, month = settings.spend_limit_day, settings.spend_limit_month
    return {
        "allowance": write_amount(settings.allowance, scale),
        "frozen": settings.frozen,
        "spend_limit_day": None if day is None else write_amount(day, scale),
        "spend_limit_month": None if month is None else write_amount(month, scale),
        "timezone": settings.timezone,
    }
