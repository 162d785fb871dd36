"""Rate limits per key: how many requests a key may make in a window, and the header fields that say so.

Each key has a bucket that holds `quota` requests and drains at `quota / window` a second. A key that was
quiet may make its whole quota at once; a busy one goes on at the even rate, so a refused caller waits for
one place, not for the next window. In any stretch of time at most `quota + stretch * quota / window`
requests pass.

Everything is in this process's memory: several processes each allow the quota.
"""

from math import ceil

from msgspec import Struct

_SLACK = 1e-6
"""A millionth of a request: float rounding must not refuse a caller who waited exactly as long as told."""
_HALF_SLACK = _SLACK / 2
_KEEP = 0.75
"""How much of the table is left after making room, so that it is not swept for every new key."""


class Verdict(Struct, frozen=True, gc=False):
    """What a limited key was told."""

    allowed: bool
    quota: int
    window: int
    remaining: int
    reset: int
    """Seconds until there is more quota than `remaining`; 0 when there can be no more."""
    retry_after: int
    """Seconds until this request would pass; 0 when it did."""


class _Bucket:
    __slots__ = ("at", "rate", "used")

    def __init__(self, now: float) -> None:
        self.used = 0.0
        self.at = now
        self.rate = 0.0

    def used_at(self, now: float) -> float:
        """What is left in it after draining until `now`."""
        return max(0.0, self.used - (now - self.at) * self.rate)


class RateLimiter:
    """Counts hits per key. `quota` 0 switches it off; `max_keys` bounds its memory."""

    def __init__(self, quota: int, window_seconds: int, max_keys: int = 10_000) -> None:
        if quota < 0 or window_seconds < 1 or max_keys < 1:
            raise ValueError("a rate limit needs a quota of 0 or more, a window and max_keys of 1 or more")
        self._quota = quota
        self._window = window_seconds
        self._max_keys = max_keys
        self._buckets: dict[str, _Bucket] = {}

    def __len__(self) -> int:
        """How many keys it remembers."""
        return len(self._buckets)

    def hit(self, key_id: str, now: float, cost: int = 1, quota: int | None = None) -> Verdict | None:
        """Count `cost` requests at `now` (monotonic seconds); None: this key has no limit.

        `quota` overrides the limiter's own for this key. A refused hit counts nothing. A cost above the quota
        could never fit: it passes once the bucket is empty, and is worked off at the same rate.
        """
        limit = self._quota if quota is None else quota
        if limit <= 0:
            return None
        bucket = self._buckets.get(key_id)
        if bucket is None:
            bucket = self._open(key_id, now)
        rate = limit / self._window
        passed = now - bucket.at
        used = bucket.used
        if passed > 0:
            used -= passed * rate
            if used < 0:
                used = 0.0
            bucket.at = now
        over = used + (cost if cost < limit else limit) - limit
        allowed = over <= _SLACK
        if allowed:
            used += cost
        bucket.used = used
        bucket.rate = rate
        taken = ceil(used - _SLACK)
        remaining = limit - taken if taken < limit else 0
        reset = ceil((used - (limit - remaining - 1) - _HALF_SLACK) / rate) if taken else 0
        retry_after = 0 if allowed else ceil((over - _HALF_SLACK) / rate)
        return Verdict(allowed, limit, self._window, remaining, reset, retry_after)

    def _open(self, key_id: str, now: float) -> _Bucket:
        if len(self._buckets) >= self._max_keys:
            self._make_room(now)
        bucket = self._buckets[key_id] = _Bucket(now)
        return bucket

    def _make_room(self, now: float) -> None:
        """Forget the keys that have used least: as a rule nothing, and forgetting that changes nothing."""
        left = sorted(self._buckets.items(), key=lambda item: item[1].used_at(now), reverse=True)
        keep = int(self._max_keys * _KEEP)
        self._buckets = {key_id: bucket for key_id, bucket in left[:keep] if bucket.used_at(now) > 0}


def policy_field(verdict: Verdict) -> str:
    """The value of `RateLimit-Policy`: the rule."""
    return f'"default";q={verdict.quota};w={verdict.window}'


def limit_field(verdict: Verdict) -> str:
    """The value of `RateLimit`: where the caller stands."""
    return f'"default";r={verdict.remaining};t={verdict.reset}'


def header_fields(verdict: Verdict) -> list[tuple[bytes, bytes]]:
    """The fields for an ASGI answer; `retry-after` only when refused."""
    fields = [
        (b"ratelimit-policy", policy_field(verdict).encode()),
        (b"ratelimit", limit_field(verdict).encode()),
    ]
    if not verdict.allowed:
        fields.append((b"retry-after", b"%d" % verdict.retry_after))
    return fields
