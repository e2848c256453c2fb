"""The keeper's way to say that something is wrong with itself: on stderr, and never waiting.

Whoever reads our stderr may have stopped reading, or be gone; that must not matter to the workers.
What was said waits here for a manager as well, who has a log to write it into.
"""

import os
import select
from collections import deque
from contextlib import suppress

_MOST = 4096  # PIPE_BUF: poll(2) says that this much can be written without waiting
_untold: deque[str] = deque(maxlen=100)


def complain(text: str) -> None:
    """Write a text, if it can be written at once."""
    _untold.append(text[:_MOST])
    with suppress(OSError):
        if select.select((), (2,), (), 0)[1]:
            line = f"supervisord-lite keeper: {text}".encode(errors="backslashreplace")
            os.write(2, line[: _MOST - 1] + b"\n")


def untold() -> list[str]:
    """What no manager has been told yet, up to now; it counts as told from now on."""
    texts = list(_untold)
    _untold.clear()
    return texts


def describe(error: Exception) -> str:
    """An error that nobody expected, and the way that it took. The `traceback` module, which says
    it better, might not be importable now, and would have to be in memory for ever.
    """
    lines = [f"{type(error).__name__}: {error}"]
    step = error.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        lines.append(f"  {code.co_filename}:{step.tb_lineno}: {code.co_name}")
        step = step.tb_next
    return "\n".join(lines)
