"""What the keeper knows, on disk: enough to find every worker again when the keeper itself is gone.

A file of JSON lines in the runtime directory, appended to and never synced: it must outlive
processes, not the machine, for no worker does either. A line that was cut off by a death is
ignored. What cannot be written (a full or read-only file system) costs adoption, not operation.

    {"daemon": id, "boot": boot id}
    {"remember": name, "value": text or null}     null: the instance is no more
    {"pipe": name, "inode", "access"}             a held pipe, by which it is found again
    {"intent": [instance, run]}                   before a spawn
    {"pid": [instance, run, pid, start time]}     after it
    {"over": [instance, run]}                     buried
    {"left": true}                                the keeper went on purpose
"""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

_REWRITE_AT = 4 * 1024 * 1024


def boot_id() -> str:
    """The identity of this boot of the machine; see random(4)."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:
        return stream.read().strip()


@dataclass(slots=True)
class Contents:
    """What a journal says. `runs` are those not over: (instance, run) to (pid, start time), or to
    None where a spawn was intended and its outcome not written.
    """

    daemon: str = field(default_factory=lambda: os.urandom(8).hex())
    records: dict[str, str] = field(default_factory=dict)
    pipes: dict[str, tuple[int, int]] = field(default_factory=dict)
    runs: dict[tuple[str, int], tuple[int, int] | None] = field(default_factory=dict)
    highest: dict[str, int] = field(default_factory=dict)
    left: bool = False

    def lines(self) -> Iterable[dict[str, Any]]:
        """The shortest journal that says this."""
        yield {"daemon": self.daemon, "boot": boot_id()}
        for name, value in self.records.items():
            yield {"remember": name, "value": value}
        for name, (inode, access) in self.pipes.items():
            yield {"pipe": name, "inode": inode, "access": access}
        for instance, run in self.highest.items():
            yield {"over": [instance, run]}
        for key, known in self.runs.items():
            yield {"pid": [*key, *known]} if known else {"intent": list(key)}

    def apply(self, line: dict[str, Any]) -> None:
        match line:
            case {"remember": name, "value": None}:
                self.records.pop(name, None)
                self.highest.pop(name, None)
            case {"remember": name, "value": value}:
                self.records[name] = value
            case {"pipe": name, "inode": 0}:
                self.pipes.pop(name, None)
            case {"pipe": name, "inode": inode, "access": access}:
                self.pipes[name] = (inode, access)
            case {"intent": [instance, run]}:
                self.runs[instance, run] = None
                self.highest[instance] = max(run, self.highest.get(instance, 0))
            case {"pid": [instance, run, pid, started]}:
                self.runs[instance, run] = (pid, started)
                self.highest[instance] = max(run, self.highest.get(instance, 0))
            case {"left": left}:
                self.left = left
            case {"over": [instance, run]}:
                self.runs.pop((instance, run), None)
                self.highest[instance] = max(run, self.highest.get(instance, 0))


class Journal:
    """The file, and its contents as far as it was written or read."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.contents = _read(path)
        self.trouble: str | None = None
        self._stream: int | None = None
        self._written = 0
        self._rewrite()

    def append(self, line: dict[str, Any]) -> None:
        self.contents.apply(line)
        text = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        self._write(text)
        if self._written > _REWRITE_AT:
            self._rewrite()

    def remove(self) -> None:
        """Nothing lives that the journal would be needed for."""
        if self._stream is not None:
            os.close(self._stream)
            self._stream = None
        try:
            os.unlink(self._path)
        except OSError as error:
            self.trouble = f"cannot remove {self._path}: {error.strerror}"

    def _write(self, text: bytes) -> None:
        if self._stream is None:
            return
        if self.trouble:  # the last line may have been cut off: start a fresh one
            text = b"\n" + text
        try:
            _write_whole(self._stream, text)
        except OSError as error:
            self.trouble = f"cannot write {self._path}: {error.strerror}"
            return
        self.trouble = None
        self._written += len(text)

    def _rewrite(self) -> None:
        """Put a file in place that says the same in as few lines as possible."""
        draft = f"{self._path}.new"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        try:
            lines = [json.dumps(line, separators=(",", ":")) for line in self.contents.lines()]
            text = "\n".join([*lines, ""]).encode()
            stream = os.open(draft, flags, 0o600)
            _write_whole(stream, text)
            os.rename(draft, self._path)
        except OSError as error:
            self.trouble = f"cannot write {self._path}: {error.strerror}"
            return
        if self._stream is not None:
            os.close(self._stream)
        self._stream = stream
        self._written = 0


def _write_whole(stream: int, text: bytes) -> None:
    """Write all of it, or raise: on a full disk the kernel takes a part and says so once."""
    while text:
        text = text[os.write(stream, text) :]


def _read(path: str) -> Contents:
    """What the file says; nothing, if there is none or it is of an earlier boot."""
    contents = Contents()
    try:
        with open(path, "rb") as stream:
            lines = stream.read().split(b"\n")
    except OSError:
        return contents
    for number, text in enumerate(lines):
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if number == 0:
            if line.get("boot") != boot_id():
                return Contents()
            contents.daemon = line["daemon"]
        contents.apply(line)
    return contents
