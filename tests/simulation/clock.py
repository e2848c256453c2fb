"""The virtual wall clock: how far it is ahead of the monotonic one, and how people set it."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from .dice import Dice

HOUR = 3600.0
BEGAN = datetime(2024, 3, 30, 23, 50, tzinfo=UTC).timestamp()
# Some minutes before times of random schedules, and before days of 23 and of 25 hours.
EVES = tuple(
    datetime(*when, tzinfo=ZoneInfo(zone)).timestamp()
    for zone, when in (
        ("Europe/Berlin", (2024, 3, 31, 1, 57)),
        ("Europe/Berlin", (2024, 10, 27, 2, 28)),
        ("Europe/Berlin", (2024, 6, 1, 2, 28)),
        ("America/New_York", (2024, 3, 10, 1, 12)),
        ("America/New_York", (2024, 11, 3, 1, 13)),
    )
)
_LEAPS = (-5 * HOUR, -HOUR, -600.0, -1.5, 1.5, 90.0, HOUR, 26 * HOUR)


def reset(offset: float, now: float, dice: Dice) -> float:
    """The clocks' new distance: somebody corrects the time, or the machine has slept."""
    if dice.happens(0.5):
        return dice.choice(EVES) - now
    return offset + dice.choice(_LEAPS)
