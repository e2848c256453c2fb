"""The keys that say what workers share: channels, and how a worker has them. Part of `model`, and
written as that is.

A channel has the keys of all types here; which of them its type knows is said in `channels`.
"""

import re
from enum import StrEnum
from typing import Annotated

from pydantic import PlainValidator

from supervisord_lite.config.errors import quoted
from supervisord_lite.config.scalars import (
    Boolean,
    Mode,
    Name,
    PathText,
    Section,
    Size,
    Text,
    choice,
    scalar,
    shape,
    whole,
)

MAX_LENGTH = 1 << 30  # elements of an array
_NUMBER = re.compile(r"[+-]?[0-9]{1,20}(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?", re.ASCII)


class ChannelType(StrEnum):
    PIPE = "pipe"
    FIFO = "fifo"
    SOCKET = "socket"
    SOCKETPAIR = "socketpair"
    QUEUE = "queue"
    LOCK = "lock"
    SEMAPHORE = "semaphore"
    VALUE = "value"
    ARRAY = "array"


class Code(StrEnum):
    """The typecodes of `multiprocessing.sharedctypes`."""

    CHAR = "c"
    WIDE_CHAR = "u"
    BYTE = "b"
    UNSIGNED_BYTE = "B"
    SHORT = "h"
    UNSIGNED_SHORT = "H"
    INT = "i"
    UNSIGNED_INT = "I"
    LONG = "l"
    UNSIGNED_LONG = "L"
    LONG_LONG = "q"
    UNSIGNED_LONG_LONG = "Q"
    FLOAT = "f"
    DOUBLE = "d"


def _number(value: object) -> float:
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        number = float(value)
        if value.lstrip("+-").isdigit() and int(value) != number:
            raise ValueError(f"cannot keep {value} exactly (whole numbers: up to 2 to the 53rd)")
        return number
    what = quoted(value) if isinstance(value, str) else shape(value)
    raise ValueError(f"cannot read {what} as a number")


def _numbers(value: object) -> tuple[float, ...]:
    if isinstance(value, list):
        return tuple(_number(item) for item in value)
    return (_number(value),)


class Channel(Section):
    type: Annotated[ChannelType, choice(ChannelType)]
    size: Size | None = None
    path: PathText | None = None
    mode: Mode | None = None
    owner: Text | None = None
    listen: Text | None = None
    backlog: Annotated[int, whole(1, 65535)] | None = None
    reuse_port: Boolean | None = None
    capacity: Annotated[int, whole(1, 1_000_000_000)] | None = None
    count: Annotated[int, whole(1, 1_000_000)] | None = None
    code: Annotated[Code, choice(Code)] | None = None
    length: Annotated[int, whole(1, MAX_LENGTH)] | None = None
    initial: Annotated[tuple[float, ...], PlainValidator(_numbers)] | None = None
    lock: Name | None = None


class How(StrEnum):
    """What a worker does with a channel, in the words of the file."""

    READ = "read"
    WRITE = "write"
    BOTH = "both"
    PUT = "put"
    GET = "get"
    A = "a"
    B = "b"
    LISTEN = "listen"


def _descriptor(value: str) -> int:
    if value.isascii() and value.isdigit() and len(value) <= 3 and 3 <= int(value) <= 299:
        return int(value)
    hint = "0, 1 and 2 are stdin, stdout and stderr" if value in ("0", "1", "2") else "3 to 299"
    raise ValueError(f"cannot use {quoted(value)} as the number of a descriptor ({hint})")


class Binding(Section):
    use: Annotated[How, choice(How)] | None = None
    fd: Annotated[int, scalar(_descriptor)] | None = None
