"""Settings of a workspace: `settings list`, `get`, `set`; typed, bounded, and each change in the audit log."""

from typing import Annotated, Any, Final, get_args

import typer

from .exits import Exit, Trouble, invalid, usage
from .opening import at_desk
from .options import Db, In, Json, enter
from .output import Answer, columns
from .workspaces import PANEL

MEANING: Final = {
    "refund_lapsed": "where a refund goes whose grant has lapsed: grace (a new grant for some days) or lapse (nowhere)",
    "refund_grace_days": "days that such a new grant lives",
    "hold_max_minutes": "how long a hold may live in all, extends included",
    "max_live_grants": "live grants that an account may have",
    "max_live_holds": "live holds that an account may have",
    "rate_limit": "requests a minute for each API key; 0 leaves it to the server's own setting",
    "unknown_models": "usage of a model without a price: default (the card's default rules), refuse or unpriced",
    "usage_late_hours": "how long ago usage may have been that is charged now",
    "usage_ahead_seconds": "how far in the future its time may lie, for clocks that differ",
    "usage_record_charges": "whether recording usage through the accounting dialect charges for it",
    "session_minutes": "how long a streaming session of the accounting dialect holds its credits",
    "users_may_charge": "whether a user's own token may charge his account through v1, beside reading it",
    "retention_days": "days that entries stay in the ledger before they move to an archive file; 0: for ever",
    "login": "whether the login service serves this workspace: on or off",
    "signup": "whether people may register themselves: open, or closed (only an admin makes users)",
    "balance_low": "below it a balance counts as low, in credits; an account may say otherwise",
    "balance_critical": "below it a balance counts as critical",
    "expiring_days": "how many days before its end programs are told that a grant expires",
    "metering": "how metered calls of models are held for and settled, as JSON; empty: as usual",
    "login_host": "the host at which the login service serves this workspace; empty where there is only one",
}
"""What each setting does; a test holds it against `core.records.WorkspaceSettings`."""

Setting = Annotated[str, typer.Argument(metavar="NAME", help="The setting; `farthing settings list` has them all.")]


def register(app: typer.Typer) -> None:
    """Enter the commands."""
    group = typer.Typer(help="What an operator may set for a workspace.")
    enter(group, "list", "$ farthing settings list")(list_all)
    enter(group, "get", "$ farthing settings get hold_max_minutes --json")(get)
    enter(
        group,
        "set",
        "$ farthing settings set hold_max_minutes 1440",
        "$ farthing settings set unknown_models refuse",
    )(change)
    app.add_typer(group, name="settings", rich_help_panel=PANEL)


def list_all(workspace: In = None, db: Db = None, as_json: Json = False) -> Answer:
    """All settings with their values, defaults and meaning."""
    with at_desk(db, workspace) as desk:
        facts = [_facts(desk.workspace.settings, name) for name in MEANING]
    rows = [("SETTING", "VALUE", "DEFAULT", "")]
    rows += [(each["name"], str(each["value"]), str(each["default"]), each["meaning"]) for each in facts]
    return Answer({"workspace": desk.workspace.id, "data": facts}, columns(rows))


def get(name: Setting, workspace: In = None, db: Db = None, as_json: Json = False) -> Answer:
    """The value of one setting."""
    _require_known(name)
    with at_desk(db, workspace) as desk:
        facts = _facts(desk.workspace.settings, name)
    return Answer({"workspace": desk.workspace.id, **facts}, str(facts["value"]))


def change(
    name: Setting,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="The new value.")],
    workspace: In = None,
    db: Db = None,
    as_json: Json = False,
) -> Answer:
    """Change a setting. Servers follow within a second; the audit log says who did it."""
    from farthing.stores.access import AccessError

    _require_known(name)
    with at_desk(db, workspace) as desk:
        before = getattr(desk.workspace.settings, name)
        new = _read(name, value)
        try:
            settings = desk.ledger.wait(desk.ledger.access.change_settings(desk.workspace.id, {name: new}, desk.act()))
        except AccessError as error:
            raise Trouble("invalid", str(error), Exit.USAGE, field=name) from error
    facts = _facts(settings, name) | {"before": before}
    was = "nothing" if before in ("", None) else before
    return Answer({"workspace": desk.workspace.id, **facts}, f"{name} is {facts['value']} (was {was})")


def _require_known(name: str) -> None:
    if name not in MEANING:
        raise usage(f"there is no setting {name!r}; there are {', '.join(MEANING)}")


def _facts(settings: Any, name: str) -> dict[str, Any]:
    default = getattr(type(settings)(), name)
    return {"name": name, "value": getattr(settings, name), "default": default, "meaning": MEANING[name]}


def _read(name: str, text: str) -> Any:
    """The value in the setting's own type."""
    import msgspec
    from msgspec.structs import fields

    from farthing.core.records import WorkspaceSettings

    kind = next(field.type for field in fields(WorkspaceSettings) if field.name == name)
    try:
        return msgspec.convert(text, kind, strict=False)
    except msgspec.ValidationError as error:
        choices = "true or false" if kind is bool else " or ".join(map(str, get_args(kind)))
        raise invalid(name, f"must be {choices or 'a whole number'}, not {text!r}") from error
