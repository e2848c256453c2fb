"""A line of a log, and the ways in which it is written down: after its time, after the name of its
instance, as a JSON object. The one place that knows these formats; files, taps, forwards and
clients all have them from here.

Times are RFC 3339, in UTC, cut to milliseconds: "2026-11-23T02:17:05.123Z".
"""

import base64
import json
import time
from dataclasses import dataclass
from functools import lru_cache

from supervisord_lite.logs.escape import escape

_SECOND = 1_000_000_000
_MILLISECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class Line:
    """A line without its end. `time` is when its first byte came, in nanoseconds since the epoch;
    `run` is 0 where nobody knows; a `partial` one is cut: its end is in a later one.
    """

    time: int
    run: int
    text: bytes
    partial: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """Whose lines they are. `stream` is "stdout" or "stderr"."""

    worker: str
    instance: int
    stream: str

    @classmethod
    def of(cls, stream: str) -> "Source":
        """Whose a stream is, by its full name: "web:0/stdout"."""
        name, _, which = stream.partition("/")
        worker, _, instance = name.rpartition(":")
        return cls(worker or name, int(instance) if worker else 0, which or "stdout")

    @property
    def title(self) -> str:
        """How a person is told of it: "web:0", "web:0 err"."""
        name = f"{self.worker}:{self.instance}"
        return name if self.stream == "stdout" else f"{name} err"


def timestamp(at: int) -> str:
    """Nanoseconds since the epoch as text."""
    return f"{_whole_second(at // _SECOND)}.{at % _SECOND // _MILLISECOND:03}Z"


@lru_cache(maxsize=16)
def _whole_second(at: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at))


def as_timestamped(line: Line) -> bytes:
    """The time, a space, and the bytes themselves."""
    return b"%s %s\n" % (timestamp(line.time).encode(), line.text)


def as_prefixed(line: Line, title: str, width: int = 0) -> bytes:
    """The title, filled up to `width`, and what is safe to show of the line."""
    text = escape(line.text.removesuffix(b"\r"))
    return f"{title:{width}} | {text}\n".encode()


def as_json(line: Line, source: Source) -> bytes:
    """One object on a line of its own.

    `message` is the text as UTF-8; where the bytes are none it has U+FFFD, and `raw` has the bytes
    themselves in Base64. `partial` is there, and true, for a line that is cut.
    """
    text = line.text.decode("utf-8", "replace")
    tail = ""
    if line.partial:
        tail += ',"partial":true'
    if "\ufffd" in text and text.encode() != line.text:
        tail += f',"raw":"{base64.b64encode(line.text).decode()}"'
    message = json.dumps(text, ensure_ascii=False)
    return f"{json_head(line.time, line.run, source)}{message}{tail}}}\n".encode()


def json_head(at: int, run: int, source: Source) -> str:
    """What a JSON line has before its message."""
    return (
        f'{{"time":"{timestamp(at)}","worker":"{source.worker}","instance":{source.instance},'
        f'"run":{run},"stream":"{source.stream}","message":'
    )
