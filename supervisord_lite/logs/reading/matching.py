"""Which lines a client wants to see: those that a regular expression matches.

The expressions are RE2's (github.com/google/re2/wiki/Syntax): matching takes time in proportion to
the text, whatever the expression, so that a client cannot hold us up with one.
"""

_LONGEST = 4096
# What can tell the beginning of a block from the beginning of a line in it.
_PLACED = (r"\A", r"\z", "(?")


class Matcher:
    """Raises ValueError, with the reason, for a pattern that is none."""

    def __init__(self, pattern: str) -> None:
        import re2  # 3 MB of code, and most daemons are never asked

        if len(pattern) > _LONGEST:
            raise ValueError(f"cannot use a pattern of more than {_LONGEST} characters")
        options = re2.Options()
        options.log_errors = False
        try:
            self.line = re2.compile(pattern.encode(), options).search
            of_block = re2.compile(b"(?m)" + pattern.encode(), options).search
        except re2.error as error:
            raise ValueError(f"{_reason(error)} (RE2 syntax)") from None
        self._of_block = None if any(word in pattern for word in _PLACED) else of_block

    def may_match_in(self, block: bytes) -> bool:
        """Whether one of these lines may match; quick to say no."""
        return self._of_block is None or bool(self._of_block(block))


def _reason(error: Exception) -> str:
    message = error.args[0] if error.args else b""
    return message.decode(errors="replace") if isinstance(message, bytes) else str(message)
