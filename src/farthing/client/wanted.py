"""What is wanted of a database: known before anything of the ledger is loaded."""

from msgspec import Struct


class Wanted(Struct, frozen=True, kw_only=True):
    """What is to be opened, and made where it is missing."""

    url: str
    workspace: str | None
    create: bool
    unit: str | None
    scale: int | None
    actor: str
    timeout: float
