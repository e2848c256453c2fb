"""What the keeper knows, on disk: enough to find every worker again when the keeper itself is gone.

A file of JSON lines in the runtime directory, appended to and never synced: it must outlive
processes, not the machine, for no worker does either. A line that was cut off by a death is
ignored. What cannot be written (a full or read-only file system) costs adoption, not operation.

    {"daemon": id, "boot": boot id}
    {"keeper": inode}                             of a pipe that no program of its children has
    {"remember": name, "value": text or null}     null: the instance is no more
    {"pipe": name, "inode", "access"}             a held pipe, by which it is found again
    {"intent": [instance, run]}                   before a spawn
    {"pid": [instance, run, pid, start time], "since"}    after it
    {"main": [instance, run, pid, start time]}    its main process is another one from now on
    {"ended": [instance, run, status], "at"}      its main process has ended
    {"over": [instance, run]}                     buried
    {"left": true}                                the keeper went on purpose
"""

import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from supervisord_lite.keeper.complaint import complain

_REWRITE_AT = 4 * 1024 * 1024
_RETRY = 5.0  # seconds between attempts while the file cannot be written
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC


def boot_id() -> str:
    """The identity of this boot of the machine; see random(4)."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as stream:
        return stream.read().strip()


class Noted(NamedTuple):
    """What is known of a run that is not over. A process is a pid and its start time; there is
    no `first` one where a spawn was intended and its outcome not written.
    """

    first: tuple[int, int] | None = None
    since: float | None = None
    main: tuple[int, int] | None = None  # where it is not the first one
    status: int | None = None
    ended_at: float | None = None

    def lines(self, key: tuple[str, int]) -> Iterator[dict[str, Any]]:
        """The lines that say this."""
        if self.first is None:
            yield {"intent": list(key)}
            return
        yield {"pid": [*key, *self.first], "since": self.since}
        if self.main is not None:
            yield {"main": [*key, *self.main]}
        if self.ended_at is not None:
            yield {"ended": [*key, self.status], "at": self.ended_at}


class Contents:
    """What a journal says. `runs` are those not over, by instance and run."""

    def __init__(self) -> None:
        self.daemon = os.urandom(8).hex()
        self.records: dict[str, str] = {}
        self.pipes: dict[str, tuple[int, int]] = {}
        self.runs: dict[tuple[str, int], Noted] = {}
        self.highest: dict[str, int] = {}
        self.keeper = 0
        self.left = False

    def lines(self) -> Iterable[dict[str, Any]]:
        """The shortest journal that says this."""
        yield {"daemon": self.daemon, "boot": boot_id()}
        yield {"keeper": self.keeper}
        for name, value in self.records.items():
            yield {"remember": name, "value": value}
        for name, (inode, access) in self.pipes.items():
            yield {"pipe": name, "inode": inode, "access": access}
        for instance, run in self.highest.items():
            yield {"over": [instance, run]}
        for key, noted in self.runs.items():
            yield from noted.lines(key)

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
                self._note(instance, run, Noted())
            case {"pid": [instance, run, pid, started]}:
                self._note(instance, run, Noted((pid, started), line.get("since")))
            case {"main": [instance, run, pid, started]} if noted := self.runs.get((instance, run)):
                main = (pid, started)
                self.runs[instance, run] = noted._replace(main=main, status=None, ended_at=None)
            case {"ended": [instance, run, status]} if noted := self.runs.get((instance, run)):
                self.runs[instance, run] = noted._replace(status=status, ended_at=line["at"])
            case {"keeper": inode}:
                self.keeper = inode
            case {"left": left}:
                self.left = left
            case {"over": [instance, run]}:
                self.runs.pop((instance, run), None)
                self.highest[instance] = max(run, self.highest.get(instance, 0))

    def _note(self, instance: str, run: int, noted: Noted) -> None:
        self.runs[instance, run] = noted
        self.highest[instance] = max(run, self.highest.get(instance, 0))


class Journal:
    """The file, and its contents as far as it was written or read."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.contents = _read(path)
        self.trouble: str | None = None
        self._stream: int | None = None
        self._written = 0
        self._retry_at = 0.0
        self._rewrite()

    def append(self, line: dict[str, Any]) -> None:
        self.contents.apply(line)
        if self.trouble is None:
            self._write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        elif time.monotonic() >= self._retry_at:
            self._rewrite()  # lines are missing by now, so all of it
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
        assert self._stream is not None, "there is a file where there is no trouble"
        try:
            _write_whole(self._stream, text)
        except OSError as error:
            self._fail(error)
            return
        self._written += len(text)

    def _rewrite(self) -> None:
        """Put a file in place that says the same in as few lines as possible."""
        self._written = 0  # if it fails, it is tried again once as much has been written anew
        draft = f"{self._path}.new"
        try:
            lines = [json.dumps(line, separators=(",", ":")) for line in self.contents.lines()]
            stream = os.open(draft, os.O_TRUNC | _APPEND, 0o600)
        except OSError as error:
            self._fail(error)
            return
        try:
            _write_whole(stream, "\n".join([*lines, ""]).encode())
            os.rename(draft, self._path)
        except OSError as error:
            self._fail(error)
            os.close(stream)
            with suppress(OSError):
                os.unlink(draft)
            return
        if self._stream is not None:
            os.close(self._stream)
        self._stream = stream
        self.trouble = None

    def _fail(self, error: OSError) -> None:
        """Say once what is wrong; the daemon works on, but its workers might not be found again."""
        if self.trouble is None:
            complain(f"cannot write {self._path}: {error.strerror}: workers could not be adopted")
        self.trouble = error.strerror
        self._retry_at = time.monotonic() + _RETRY


def _read(path: str) -> Contents:
    """What the file says; nothing, if there is none or it is of an earlier boot."""
    contents = Contents()
    try:
        with open(path, "rb") as stream:
            lines = stream.read().split(b"\n")
    except OSError:
        return contents
    heading = _parse(lines[0])
    if heading.get("boot") != boot_id():
        return contents
    contents.daemon = heading["daemon"]
    for text in lines[1:]:
        contents.apply(_parse(text))
    return contents


def _write_whole(stream: int, text: bytes) -> None:
    """Write all of it. Raises OSError, then a part of it may be there."""
    while text:
        text = text[os.write(stream, text) :]


def _parse(text: bytes) -> dict[str, Any]:
    """A line, or nothing where it was cut off."""
    try:
        line = json.loads(text)
    except ValueError:
        return {}
    return line if isinstance(line, dict) else {}
