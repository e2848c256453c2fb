"""Text to value: durations, sizes, signals, modes and lists of CPUs.

Every function takes what was typed and returns a value or raises ValueError with a sentence that
begins with "cannot" and, where we can guess what was meant, proposes it. Nothing here knows where
the text stood. All patterns match in linear time: the text may be hostile.
"""

import re
import resource
import signal
from typing import NamedTuple

from supervisord_lite.config.errors import quoted, suggestion

_DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION_PART = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h|d)")
_DURATION = re.compile(r"(?:\d{1,9}(?:\.\d{1,9})?(?:ms|s|m|h|d))+", re.ASCII)
_GUESSED_UNITS = {"ms": "ms", "mil": "ms", "m": "m", "h": "h", "d": "d", "": "s"}  # first fit

_SIZE_UNITS = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40} | {
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
}
_SIZE = re.compile(r"(\d{1,15})(\.\d{1,9})?([A-Za-z]*)", re.ASCII)

_QUANTITY = re.compile(r"\s{0,9}(\d{1,15}(?:\.\d{1,9})?)\s{0,9}([A-Za-z]{0,20})\s{0,9}", re.ASCII)
_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_SIGNALS: dict[str, int] = {
    member.name.removeprefix("SIG"): int(member) for member in signal.Signals
}
_REALTIME = re.compile(r"RT(MIN\+|MAX-)(\d{1,2})", re.ASCII)
_PERCENT = re.compile(r"(\d{1,6}(?:\.\d{1,6})?)%", re.ASCII)
_CPU_RANGE = re.compile(r"(\d{1,4})(?:-(\d{1,4}))?", re.ASCII)

_TIME_OF_DAY = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)", re.ASCII)
# RFC 5424, section 6.2.1, by the names of syslog(3).
_NAMES = ("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron")
_FACILITIES = {name: number for number, name in enumerate((*_NAMES, "authpriv", "ftp"))} | {
    f"local{number}": 16 + number for number in range(8)
}

MAX_INSTANCES = 20_000  # instances of all workers together

LIMIT_NAMES = tuple(
    sorted(
        name.removeprefix("RLIMIT_").lower()
        for name in dir(resource)
        if name.startswith("RLIMIT_") and name != "RLIMIT_OFILE"  # an old name of NOFILE
    )
)


def duration(text: str) -> float:
    """Seconds: `250ms`, `5s`, `2m`, `1h`, `1d`, also joined as in `1h30m`."""
    if _DURATION.fullmatch(text):
        parts = _DURATION_PART.findall(text)
        return sum(float(number) * _DURATION_UNITS[unit] for number, unit in parts)
    guess = _QUANTITY.fullmatch(text)
    hint = "250ms, 5s, 2m or 1h"
    if guess:
        word = guess[2].lower()
        unit = next(unit for start, unit in _GUESSED_UNITS.items() if word.startswith(start))
        hint = f"{guess[1]}{unit}"
    raise ValueError(f"cannot read {quoted(text)} as a duration (try {hint})")


def size(text: str) -> int:
    """Bytes: `65536`, `64KiB`, `10MiB`, `1.5GiB`; `MB` and the like are powers of ten."""
    match = _SIZE.fullmatch(text)
    if match and match[3] in _SIZE_UNITS:
        unit = _SIZE_UNITS[match[3]]
        return int(match[1]) * unit + int(float(match[2] or 0) * unit)
    guess = _QUANTITY.fullmatch(text)
    hint = "64KiB or 10MiB"
    if guess and guess[2][:1].upper() in ("K", "M", "G", "T"):
        hint = f"{guess[1]}{guess[2][0].upper()}iB"
    raise ValueError(f"cannot read {quoted(text)} as a size (try {hint})")


def time_of_day(text: str) -> str:
    """Hours and minutes as `03:00`."""
    match = _TIME_OF_DAY.fullmatch(text)
    if match:
        return f"{int(match[1]):02}:{match[2]}"
    raise ValueError(f"cannot read {quoted(text)} as a time of day (try 03:00)")


def facility(text: str) -> int:
    """A facility of syslog: its name, or its number from 0 to 23."""
    if text in _FACILITIES:
        return _FACILITIES[text]
    if text.isascii() and text.isdigit() and len(text) <= 2 and int(text) <= 23:
        return int(text)
    hint = suggestion(text, _FACILITIES) or " (try daemon or local0)"
    raise ValueError(f"cannot read {quoted(text)} as a facility{hint}")


def signal_number(text: str) -> int:
    """A signal's number: `TERM`, `SIGTERM`, `RTMIN+1`, or the number itself."""
    name = text.upper().removeprefix("SIG")
    if name in _SIGNALS:
        return _SIGNALS[name]
    realtime = _REALTIME.fullmatch(name)
    if realtime:
        offset = int(realtime[2])
        start, sign = (signal.SIGRTMIN, 1) if realtime[1] == "MIN+" else (signal.SIGRTMAX, -1)
        if offset <= signal.SIGRTMAX - signal.SIGRTMIN:
            return int(start) + sign * offset
    elif name.isascii() and name.isdigit() and len(name) <= 2 and 1 <= int(name) <= signal.SIGRTMAX:
        return int(name)
    raise ValueError(f"cannot read {quoted(text)} as a signal{suggestion(name, _SIGNALS)}")


def mode(text: str) -> int:
    """Permission bits in octal: `022`, `0660`, `0o600`; at most 0777."""
    digits = text.removeprefix("0o")
    if re.fullmatch("[0-7]{1,4}", digits) and int(digits, 8) <= 0o777:
        return int(digits, 8)
    raise ValueError(
        f"cannot read {quoted(text)} as a mode (try octal digits such as 0022 or 0660)"
    )


def integer(text: str, low: int, high: int) -> int:
    """A whole number from `low` to `high`."""
    if re.fullmatch(r"[+-]?[0-9]{1,18}", text) and low <= int(text) <= high:
        return int(text)
    raise ValueError(f"cannot read {quoted(text)} as a whole number from {low} to {high}")


def number(text: str, low: float, high: float) -> float:
    """A number from `low` to `high`, without exponent."""
    if re.fullmatch(r"[0-9]{1,18}(\.[0-9]{1,18})?", text) and low <= float(text) <= high:
        return float(text)
    raise ValueError(f"cannot read {quoted(text)} as a number from {low:g} to {high:g}")


class Share(NamedTuple):
    """So many instances of a worker, or so many of each hundred."""

    number: int
    percent: bool

    def of(self, count: int) -> int:
        """The number of instances out of `count`: at least one, and never rounded up."""
        return max(1, count * self.number // 100) if self.percent else self.number


def share(text: str) -> Share:
    """A number of instances: `2`, or `25%` of them."""
    try:
        if text.endswith("%"):
            return Share(integer(text[:-1], 1, 100), percent=True)
        return Share(integer(text, 1, MAX_INSTANCES), percent=False)
    except ValueError:
        raise ValueError(
            f"cannot read {quoted(text)} as a number of instances (try 1, 2 or 25%)"
        ) from None


def processors(text: str) -> float:
    """A share of processors, 1.0 being all of one: `80%`, `1.5`."""
    percent = _PERCENT.fullmatch(text)
    try:
        found = float(percent[1]) / 100 if percent else number(text, 0, 4096)
    except ValueError:
        found = 0.0
    if found > 0:
        return found
    raise ValueError(f"cannot read {quoted(text)} as a share of processors (try 80% or 1.5)")


def boolean(text: str) -> bool:
    """`true` or `false`, `yes` or `no`, `on` or `off`."""
    if text.lower() in _BOOLEANS:
        return _BOOLEANS[text.lower()]
    raise ValueError(f"cannot read {quoted(text)} as true or false")


def cpus(text: str) -> tuple[int, ...]:
    """CPU numbers: `0-3,5`."""
    found: set[int] = set()
    for part in text.split(","):
        match = _CPU_RANGE.fullmatch(part.strip())
        if not match or int(match[2] or match[1]) < int(match[1]):
            raise ValueError(f"cannot read {quoted(text)} as a list of CPUs (try 0-3,5)")
        found.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return tuple(sorted(found))


def limit_value(text: str) -> int | None:
    """One bound of a resource limit: a number, a size, or `unlimited` (None)."""
    if text in ("unlimited", "infinity"):
        return None
    try:
        return size(text)
    except ValueError:
        raise ValueError(
            f"cannot read {quoted(text)} as a limit (try a number, a size or unlimited)"
        ) from None
