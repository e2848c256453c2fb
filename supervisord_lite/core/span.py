"""A duration in words, as it may stand in a configuration: `250ms`, `5s`, `1h30m`, `1d`."""

_UNITS = ((86400, "d"), (3600, "h"), (60, "m"))


def span(seconds: float) -> str:
    """Exact to the millisecond below one second, and for whole seconds above."""
    if 0 < seconds < 1:
        return f"{seconds * 1000:g}ms"
    text, rest = "", seconds
    for unit, letter in _UNITS:
        count, rest = divmod(rest, unit)
        if count:
            text += f"{count:g}{letter}"
    return text + f"{rest:g}s" if rest or not text else text
