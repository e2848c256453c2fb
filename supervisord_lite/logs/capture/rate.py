"""A limit on what a stream may write: lines and bytes a second, as a bucket of tokens each.

A full bucket is one second's worth, so that a burst of that size passes. When a bucket is empty,
everything is left out until a second later, when both are full again: one *limited second* is one
line in the log, however often the limit was hit. A worker is never slowed down by it.
"""

from supervisord_lite.core.log import RateLimit

_PERIOD = 1.0  # seconds


class RateLimiter:
    """Times are CLOCK_MONOTONIC."""

    def __init__(self, limit: RateLimit) -> None:
        self.limit = limit
        self.until: float | None = None  # everything is left out
        self.left_out = (0, 0)  # bytes and lines, in this limited second
        self._refill(0.0)

    def admit(self, data: bytes, now: float) -> int:
        """How many of these bytes, which are whole lines, pass now; the rest is left out. A piece
        of a line counts as a line.
        """
        if self.until is not None:
            return 0
        self._earn(now)
        count = self._affordable(data)
        self._lines -= max(1, data.count(b"\n", 0, count)) if count else 0
        self._bytes -= count
        if count < len(data):
            self.until = now + _PERIOD
        return count

    def leave_out(self, data: bytes) -> None:
        """Count what did not pass."""
        total, lines = self.left_out
        self.left_out = total + len(data), lines + max(1, data.count(b"\n"))

    def end_second(self, now: float) -> str:
        """A limited second is over: what there is to say of it, empty if nothing."""
        (total, lines), self.left_out = self.left_out, (0, 0)
        self._refill(now)
        if not total:
            return ""
        return f"[supervisord-lite: {lines} lines ({total} bytes) over the rate limit left out]"

    def _refill(self, now: float) -> None:
        self.until = None
        self._at = now
        self._lines = float(self.limit.lines or 0)
        self._bytes = float(self.limit.bytes or 0)

    def _earn(self, now: float) -> None:
        share = (now - self._at) / _PERIOD
        self._at = now
        lines, count = self.limit.lines or 0, self.limit.bytes or 0
        self._lines = min(lines, self._lines + lines * share)
        self._bytes = min(count, self._bytes + count * share)

    def _affordable(self, data: bytes) -> int:
        """Lines pass as long as something is left; the last one may cost more than that."""
        count = len(data)
        if self.limit.lines is not None and data.count(b"\n") > self._lines:
            lines = int(self._lines)
            count = len(data) - len(data.split(b"\n", lines)[-1]) if lines else 0
        elif self.limit.lines is not None and self._lines < 1:
            count = 0
        if self.limit.bytes is not None and count > self._bytes:
            paid = int(self._bytes)
            count = min(count, (data.find(b"\n", paid - 1) + 1 or count) if paid >= 1 else 0)
        return count
