"""Messages of queues and bytes of pipes as people see them.

Nothing that was pickled is trusted: plain values are shown, and all else is only named.
"""

import base64
import io
import pickle
import sys
from collections.abc import Mapping
from typing import Any


def show(message: Mapping[str, Any]) -> None:
    """Print it on a line: bytes as they are, what Python has put as a literal."""
    if "text" in message:
        data = message["text"].encode()
    elif "base64" in message:
        data = base64.b64decode(message["base64"])
    else:
        sys.stdout.write(f"[{message['size']} bytes]\n")
        return
    if message["format"] == "pickle":
        data = _literal(data)
    sys.stdout.flush()
    sys.stdout.buffer.write(data if data.endswith(b"\n") else data + b"\n")
    sys.stdout.buffer.flush()


def _literal(data: bytes) -> bytes:
    """What was pickled, if it is nothing but plain values: anything else is not even looked for."""
    try:
        return repr(_Plain(io.BytesIO(data)).load()).encode(errors="backslashreplace")
    except Exception as error:  # noqa: BLE001 -- pickles fail in every way there is
        return f"[a pickle of {len(data)} bytes: {error}]".encode(errors="backslashreplace")


class _Plain(pickle.Unpickler):
    """Numbers, texts, lists and the like; nothing that has to be imported."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it holds a {module}.{name}")
