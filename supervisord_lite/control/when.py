"""Times as people write them, in the time zone of this machine unless they say another.

10m, 1h30m, 2d              so long ago
02:00, 02:00:05             the last time that it was so late
2026-11-23 02:00            then; with seconds and fractions, with `T`, with Z or +01:00
2026-11-23                  the beginning of that day
@1795400225.5               seconds since 1970
"""

import re
from datetime import UTC, datetime, time, timedelta

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_PART = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)")
_SPAN = re.compile(rf"(?:{_PART.pattern})+")
_CLOCK = re.compile(r"[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}.*)?", re.IGNORECASE)
_EPOCH = re.compile(r"@([0-9]{1,12})(?:\.([0-9]{1,9}))?")
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = 1_000_000_000


def moment(text: str, now: float) -> int:
    """Nanoseconds since the epoch; `now` is seconds since then. Raises ValueError."""
    try:
        found = _read(text, now)
    except (ValueError, OverflowError):
        found = None
    if found is None:
        hint = "try 10m, 02:00, 2026-11-23 02:00 or 2026-11-23T02:00:00Z"
        raise ValueError(f'cannot read "{text[:80]}" as a time ({hint})')
    return found


def _read(text: str, now: float) -> int | None:
    if _SPAN.fullmatch(text):
        ago = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
        return round((now - ago) * 1000) * (_SECOND // 1000)
    if epoch := _EPOCH.fullmatch(text):
        return int(epoch[1]) * _SECOND + int((epoch[2] or "").ljust(9, "0"))
    if _CLOCK.fullmatch(text):
        return _last_time(time.fromisoformat(text), now)
    if _DATE.fullmatch(text):
        return _nanoseconds(datetime.fromisoformat(text))
    return None


def _last_time(clock: time, now: float) -> int:
    """A day on which the clocks are set back may have that time twice."""
    today = datetime.fromtimestamp(now).astimezone().date()
    days = today, today - timedelta(days=1)
    times = (datetime.combine(day, clock.replace(fold=fold)) for day in days for fold in (0, 1))
    return max(found for found in map(_nanoseconds, times) if found <= now * _SECOND)


def _nanoseconds(when: datetime) -> int:
    """One that names no time zone is local."""
    return (when.astimezone() - _BEGINNING) // timedelta(microseconds=1) * 1000
