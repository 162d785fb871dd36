"""Ids: time-ordered (the layout of UUID version 7), as prefixed text, carrying the account's bucket.

`ent_` + 32 hex digits: 12 of milliseconds, the version, 3 of a counter, the variant and the counter's rest, the nonce
of who makes them, and the bucket in the last three, so that a look-up by id says where to look. Nothing here draws a
random number: the caller gives it.
"""

import re
import zlib
from typing import Final

BUCKETS: Final = 4096
NONCE_BITS: Final = 34
_DIGITS: Final = re.compile(r"[0-9a-f]{32}")
_VERSION_AND_VARIANT: Final = (7 << 76) | (2 << 62)


def bucket_of(workspace: str, account: str) -> int:
    """The bucket (0 to 4095) in which an account's rows live."""
    # Half characters get a bucket as well: that such text is no account is for others to say.
    return zlib.crc32(f"{workspace}\0{account}".encode(errors="surrogatepass")) % BUCKETS


def make_id(prefix: str, at_us: int, counter: int, nonce: int, bucket: int) -> str:
    """An id of that instant. `counter` (28 bits) orders and tells apart the ids of one maker, `nonce` (34 bits, drawn
    once by each maker) tells apart the makers."""
    low = (counter >> 12 & 0xFFFF) << NONCE_BITS | nonce
    return (
        f"{prefix}_{(at_us // 1000) << 80 | _VERSION_AND_VARIANT | (counter & 0xFFF) << 64 | low << 12 | bucket:032x}"
    )


def made_at(id: str) -> int | None:
    """The instant of an id, at the beginning of its millisecond; None for text that is no id."""
    _, _, digits = id.rpartition("_")
    return int(digits[:12], 16) * 1000 if _DIGITS.fullmatch(digits) else None


def bucket_in(id: str) -> int | None:
    """The bucket that an id carries, or None for text that is no id."""
    _, _, digits = id.rpartition("_")
    return int(digits[-3:], 16) if _DIGITS.fullmatch(digits) else None
