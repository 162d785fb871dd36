"""The document of a workspace about metering, as it was read last."""

import logging
from time import monotonic
from typing import Final

from farthing.client.calls import get
from farthing.client.errors import FarthingError
from farthing.client.pricing_results import WorkspaceSettings
from farthing.core.metering import PolicyError, check_metering

from .call import Steps

FRESH_SECONDS: Final = 30.0
"""What a workspace says of metering is read again after that."""
_LOG: Final = logging.getLogger("farthing.llm")


class Document:
    """What the workspace says of metering, as it was read last."""

    def __init__(self) -> None:
        self.text = ""
        self.known = False
        self._until = 0.0

    def due(self) -> bool:
        """Whether it should be read again; who is told so does that."""
        now = monotonic()
        if now < self._until:
            return False
        self._until = now + FRESH_SECONDS
        return True

    def unread(self) -> None:
        """Reading it has come to nothing: the next call does that."""
        self._until = 0.0

    def reading(self) -> Steps[None]:
        """Read it. Where it can't be, what was read last counts."""
        try:
            settings = yield get(WorkspaceSettings, "/v1/settings")
            check_metering(settings.metering)
        except (FarthingError, PolicyError) as error:  # a newer server may know more
            _LOG.warning("the workspace's policies of metering can't be read: %s", error)
        else:
            self.text, self.known = settings.metering, True
