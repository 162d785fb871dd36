"""Keys: idempotency keys of metered calls. Who names a call can have it made again, by whichever process, and it is
charged once.
"""

from itertools import count
from typing import Final

from msgspec import Struct

from farthing.client.values import key_text, new_key

_LONGEST: Final = 200


class Key:
    """A name for the calls of a block: the first has it as it is, those that follow have it with their number."""

    def __init__(self, text: str) -> None:
        if len(key_text(text)) > _LONGEST:
            raise ValueError(f"the key of a metered call must have at most {_LONGEST} characters")
        self._text = text
        self._numbers = count(1)

    def next(self) -> str:
        """That of the call that is made now."""
        number = next(self._numbers)
        return self._text if number == 1 else f"{self._text}/{number}"


class Keys(Struct, frozen=True):
    """What one call asks the ledger under. They are known before it is made: whoever settles it, and wherever, does so
    once."""

    hold: str
    charge: str
    """One for all attempts."""
    release: str


def keys_of(name: str, attempt: int) -> Keys:
    """Those of a call that has a name, or of any other."""
    if not name:
        drawn = new_key()
        return Keys(drawn, f"{drawn}:charge", f"{drawn}:release")
    return Keys(f"metered:{name}:hold:{attempt}", f"metered:{name}:charge", f"metered:{name}:release:{attempt}")


def key_of(given: str | None) -> Key | None:
    """A key, where one was given."""
    return None if given is None else Key(given)
