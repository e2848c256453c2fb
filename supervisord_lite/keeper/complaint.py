"""The keeper's way to say that something is wrong with itself: on stderr, and never waiting.

Whoever reads our stderr may have stopped reading, or be gone; that must not matter to the workers.
"""

import os
import select
from contextlib import suppress

_MOST = 4096  # PIPE_BUF: poll(2) says that this much can be written without waiting


def complain(text: str) -> None:
    """Write a text, if it can be written at once."""
    with suppress(OSError):
        if select.select((), (2,), (), 0)[1]:
            os.write(2, f"supervisord-lite keeper: {text}\n".encode(errors="replace")[:_MOST])


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
