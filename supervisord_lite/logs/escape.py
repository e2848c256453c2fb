"""Making a worker's output safe to show: a terminal obeys what it is sent.

Control characters, ANSI sequences among them, and what is not UTF-8 become visible escapes; line
ends and tabs stay.
"""

import re

_UNSAFE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls but tab and line end
    r"\u2028-\u202e\u2066-\u2069"  # separators and changes of writing direction
    r"\udc80-\udcff]"  # how surrogateescape carries a byte that is no UTF-8
)


def escape(data: bytes) -> str:
    r"""Text of these bytes in which nothing commands a terminal: ESC becomes `\x1b`."""
    text = data.replace(b"\r\n", b"\n").decode("utf-8", "surrogateescape")
    return _UNSAFE.sub(_visible, text)


def _visible(found: re.Match[str]) -> str:
    code = ord(found[0])
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
