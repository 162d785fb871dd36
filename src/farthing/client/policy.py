"""Policy: what `connect` is told of outages, and the journal that it takes."""

import os
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from msgspec import Struct

from .errors import ConnectError

if TYPE_CHECKING:
    from .journal.keeping import Journal

OnUnavailable: TypeAlias = Literal["raise", "allow", "queue"]
Folder: TypeAlias = str | os.PathLike[str]


class Policy(Struct, frozen=True):
    """What becomes of calls while the ledger can't be reached."""

    on_unavailable: OnUnavailable
    folder: Folder | None

    def __post_init__(self) -> None:
        if self.on_unavailable not in (known := get_args(OnUnavailable)):
            raise ConnectError(f"on_unavailable must be one of {', '.join(known)}, not {self.on_unavailable!r}")
        if self.on_unavailable == "queue" and not self.folder:
            raise ConnectError(
                "on_unavailable='queue' needs journal=...: a folder on a disk of this machine that outlives the program"
            )
        if self.on_unavailable != "queue" and self.folder is not None:
            raise ConnectError(f"journal is for on_unavailable='queue', not for {self.on_unavailable!r}")

    def of_server(self, address: str, api_key: str, workspace: str | None) -> "Journal | None":
        """The journal for a server."""
        if self.folder is None:
            return None
        from .journal.opening import opened, target_of_server

        return opened(self.folder, target_of_server(address, api_key, workspace))

    def inside(self, place: tuple[str, str]) -> "Journal | None":
        """The journal for a database: where it is, and the workspace."""
        if self.folder is None:
            return None
        from .journal.opening import opened, target_inside

        return opened(self.folder, target_inside(*place))
