"""`remember: true`: what an operator last wanted of an instance, kept in a file across boots.

Only what differs from the instance's `autostart` is kept, and nothing of instances that have left
the configuration. What a shutdown wants is not an operator's wish about an instance, and neither is
the rest of one that has done its work. The file is written in a thread, in one piece or not at all;
changes that come meanwhile are written together afterwards. Where it cannot be written the daemon
goes on and says so.

    {"version": 1, "wanted": {"web:0": false}}
"""

import asyncio
import json
import os
from collections.abc import Callable
from contextlib import suppress

from supervisord_lite.core.state import Exited, Instance

_NAME = "wishes.json"
_VERSION = 1

Wishes = dict[str, bool]


class Lasting:
    """Keeps the wishes of one daemon in the directory that `keep_in` names; until then nothing is
    written. `shutting_down` tells whether the daemon is about to end, `notice` is for operators.
    """

    def __init__(self, shutting_down: Callable[[], bool], notice: Callable[[str], None]) -> None:
        self._shutting_down = shutting_down
        self._notice = notice
        self._loop = asyncio.get_running_loop()
        self._directory: str | None = None
        self._found: Wishes = {}  # in the file, when we came
        self._wishes: Wishes = {}
        self._written: Wishes = {}  # as far as we could
        self._writing: asyncio.Future[str | None] | None = None
        self._saving = False

    def keep_in(self, state_dir: str) -> None:
        """Keep what is wanted in this directory from now on. What it holds is read, and put aside
        if it makes no sense. Comes before the first `follow`.
        """
        if state_dir == self._directory:
            return
        moved = self._directory is not None
        self._directory = state_dir
        self._found = self._written = self._read(os.path.join(state_dir, _NAME))
        if moved:
            self._save_soon()

    def wishes(self) -> tuple[tuple[str, bool], ...]:
        """What was wanted before the boot."""
        return tuple(self._found.items())

    def follow(self, instance: Instance) -> None:
        """The instance is like this now."""
        name, spec = instance.spec.name, instance.spec
        if self._shutting_down():
            return
        if not spec.remember or instance.retiring:
            self._wishes.pop(name, None)
        elif isinstance(instance.state, Exited):
            # It wants nothing any more since it is done; the wish is what it was.
            if name in self._found:
                self._wishes.setdefault(name, self._found[name])
        elif instance.wanted != spec.autostart:
            self._wishes[name] = instance.wanted
        else:
            self._wishes.pop(name, None)
        self._save_soon()

    def forget(self, name: str) -> None:
        """The instance is no more."""
        if not self._shutting_down():
            self._wishes.pop(name, None)
            self._save_soon()

    async def settled(self) -> None:
        """Return when all is written that can be."""
        while self._saving or self._writing is not None:
            if self._writing is not None:
                await asyncio.wait([self._writing])
            await asyncio.sleep(0)

    # ---------------------------------------------------------------- the file

    def _read(self, path: str) -> Wishes:
        try:
            return _read(path)
        except OSError as error:
            self._notice(f"cannot read what was wanted before the boot: {path}: {error.strerror}")
        except ValueError as error:
            with suppress(OSError):
                os.replace(path, f"{path}.corrupt")
            self._notice(
                f"cannot make sense of what was wanted before the boot: {path}: {error}; "
                "it is kept beside it as .corrupt"
            )
        return {}

    def _save_soon(self) -> None:
        """After this step of the core, which may tell of many instances."""
        if self._directory is None or self._saving or self._wishes == self._written:
            return
        self._saving = True
        self._loop.call_soon(self._save)

    def _save(self) -> None:
        if self._writing is not None:
            return  # what is new is written afterwards
        self._saving = False
        if self._directory is None or self._wishes == self._written:
            return
        self._written = dict(self._wishes)
        work = self._loop.run_in_executor(None, _write, self._directory, self._written)
        self._writing = work
        work.add_done_callback(self._saved)

    def _saved(self, work: "asyncio.Future[str | None]") -> None:
        self._writing = None
        problem = work.result()
        if problem is not None:
            self._notice(f"cannot keep what is wanted for the next boot: {problem}")
        if self._saving:
            self._save()


def _read(path: str) -> Wishes:
    """Raises OSError, and ValueError if this is no such file."""
    try:
        with open(path, encoding="utf-8") as stream:
            document = json.load(stream)
    except FileNotFoundError:
        return {}
    match document:
        case {"version": version, "wanted": dict(wanted)} if version == _VERSION:
            if all(isinstance(value, bool) for value in wanted.values()):
                return dict(wanted)
    raise ValueError("it is not what was written there")


def _write(directory: str, wishes: Wishes) -> str | None:
    """Put the file in place, on the disk when this returns; the problem, if there is one."""
    path = os.path.join(directory, _NAME)
    text = json.dumps({"version": _VERSION, "wanted": wishes})
    try:
        os.makedirs(directory, 0o700, exist_ok=True)
        _put(f"{path}.new", text.encode())
        os.replace(f"{path}.new", path)
        _sync_directory(directory)
    except OSError as error:
        return f"{error.filename or path}: {error.strerror}"
    return None


def _put(path: str, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(descriptor)


def _sync_directory(path: str) -> None:
    """Have the rename itself on the disk, too."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
