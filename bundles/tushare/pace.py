"""How fast an endpoint may be asked: below its quota, and not at all while the vendor wants us to wait."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from pyrate_limiter import Duration, InMemoryBucket, Rate, RateItem


@dataclass
class Pace:
    """Spaces the calls of each endpoint; one instance serves all threads.

    Attributes
    ----------
    clock : callable
        Seconds of a clock that never goes back.
    sleep : callable
        Waits some seconds.
    calls : int
        Calls let through so far.
    """

    clock: Callable[[], float]
    sleep: Callable[[float], None]
    calls: int = 0
    _limits: dict[str, int] = field(default_factory=dict)
    _buckets: dict[str, InMemoryBucket] = field(default_factory=dict)
    _held: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def limit(self, api_name: str, calls_per_minute: float) -> None:
        """Allow at most so many calls a minute; a looser limit than the one in force changes nothing."""
        calls = max(1, int(calls_per_minute))
        with self._lock:
            if calls >= self._limits.get(api_name, calls + 1):
                return
            self._limits[api_name] = calls
            old, new = self._buckets.get(api_name), InMemoryBucket([Rate(calls, Duration.MINUTE)])
            new.items = old.items if old else []
            self._buckets[api_name] = new

    def allowed(self, api_name: str) -> int | None:
        """Return the calls a minute in force."""
        return self._limits.get(api_name)

    def hold(self, api_name: str, seconds: float) -> None:
        """Let nobody ask an endpoint for some seconds."""
        with self._lock:
            self._held[api_name] = max(self._held.get(api_name, 0.0), self.clock() + seconds)

    def wait(self, api_name: str) -> None:
        """Return when the endpoint may be asked; the call is counted."""
        while (seconds := self._take(api_name)) > 0:
            self.sleep(seconds)

    def _take(self, api_name: str) -> float:
        """Take a call if one is free and return 0, else the seconds until another try."""
        with self._lock:
            now = self.clock()
            if (held := self._held.get(api_name, now)) > now:
                return held - now
            bucket, item = self._buckets[api_name], RateItem(api_name, int(now * 1000))
            bucket.leak(item.timestamp)
            if bucket.put(item):
                self.calls += 1
                return 0.0
            waiting = bucket.waiting(item)
            assert isinstance(waiting, int)
            return max(1, waiting) / 1000
