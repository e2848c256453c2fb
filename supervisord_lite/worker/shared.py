"""Values and arrays in memory that workers share: `ctypes` objects in a mapped file.

They answer to the interface of what `multiprocessing.Value` and `Array` make. Each access takes the
lock that guards them, unless the thread that asks has it already; several in a row are one only
where they are in a `with` block of that lock.
"""

import ctypes
import mmap
import os
from collections.abc import Iterator
from typing import Any, Self

from supervisord_lite.worker.lock import Lock
from supervisord_lite.worker.owned import Owned

# The typecodes of multiprocessing.sharedctypes.
TYPES: dict[str, Any] = {
    "c": ctypes.c_char,
    "u": ctypes.c_wchar,
    "b": ctypes.c_byte,
    "B": ctypes.c_ubyte,
    "h": ctypes.c_short,
    "H": ctypes.c_ushort,
    "i": ctypes.c_int,
    "I": ctypes.c_uint,
    "l": ctypes.c_long,
    "L": ctypes.c_ulong,
    "q": ctypes.c_longlong,
    "Q": ctypes.c_ulonglong,
    "f": ctypes.c_float,
    "d": ctypes.c_double,
}


class _Shared:
    """A `ctypes` object in `memory`, and the lock that guards it."""

    def __init__(self, memory: Owned, kind: Any, lock: Lock) -> None:
        self._memory, self._lock = memory, lock
        size = os.fstat(memory.fd).st_size
        if size < ctypes.sizeof(kind):
            raise ValueError(
                f"cannot map {ctypes.sizeof(kind)} bytes of descriptor {memory.fd}: it has {size}"
            )
        self._object = kind.from_buffer(mmap.mmap(memory.fd, ctypes.sizeof(kind)))

    def get_obj(self) -> Any:
        """The `ctypes` object itself, which nothing guards."""
        return self._object

    def get_lock(self) -> Lock:
        """The lock that guards it."""
        return self._lock

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """As that of the lock."""
        return self._lock.acquire(block, timeout)

    def release(self) -> None:
        """As that of the lock."""
        self._lock.release()

    def __enter__(self) -> Self:
        self._lock.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class Value(_Shared):
    """One value of the type `code`."""

    def __init__(self, memory: Owned, code: str, lock: Lock) -> None:
        super().__init__(memory, TYPES[code], lock)
        self._code = code

    @property
    def value(self) -> Any:
        """What it is now."""
        return self._lock.during(lambda: self._object.value)

    @value.setter
    def value(self, value: Any) -> None:
        self._lock.during(lambda: setattr(self._object, "value", value))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._memory, self._code, self._lock)


class Array(_Shared):
    """So many values of the type `code`; slices are copies."""

    def __init__(self, memory: Owned, code: str, length: int, lock: Lock) -> None:
        super().__init__(memory, TYPES[code] * length, lock)
        self._code = code

    def __len__(self) -> int:
        return len(self._object)

    def __getitem__(self, index: int | slice) -> Any:
        return self._lock.during(lambda: self._object[index])

    def __setitem__(self, index: int | slice, value: Any) -> None:
        self._lock.during(lambda: self._object.__setitem__(index, value))

    def __iter__(self) -> Iterator[Any]:
        return iter(self._lock.during(lambda: list(self._object)))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._memory, self._code, len(self), self._lock)


class Text(Array):
    """An array of characters (code `c`), and a text: `value` ends at the first zero, `raw` does
    not.
    """

    @property
    def value(self) -> bytes:
        """The characters before the first zero."""
        return self._lock.during(lambda: bytes(self._object.value))

    @value.setter
    def value(self, value: bytes) -> None:
        self._lock.during(lambda: setattr(self._object, "value", value))

    @property
    def raw(self) -> bytes:
        """All characters."""
        return self._lock.during(lambda: bytes(self._object.raw))

    @raw.setter
    def raw(self, value: bytes) -> None:
        self._lock.during(lambda: setattr(self._object, "raw", value))
