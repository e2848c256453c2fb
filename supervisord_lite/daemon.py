"""The daemon, put together: how `run` becomes the keeper, and how a manager comes to be.

Both processes are entered here by `python -m supervisord_lite.daemon keeper|manager …`, so that
each imports only what it needs: the keeper the standard library, the manager no YAML.
"""

import errno
import fcntl
import json
import os
import select
import socket
import stat
import sys
import threading
import zlib
from contextlib import suppress
from functools import partial
from typing import Any, NoReturn

_MANAGER_LINK = 3

_AT_ONCE = 4096  # PIPE_BUF: poll(2) says that this much can be written without waiting


def run(files: list[str], hold: bool) -> NoReturn:
    """Become the daemon's keeper, in this process: the pid stays, what was imported goes."""
    for number in range(3):  # what is closed would be given to the next thing that is opened
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open("/dev/null", os.O_RDWR), True)
    arguments = json.dumps({"files": files, "hold": hold})
    # -P: nothing is ever imported from the working directory.
    os.execv(sys.executable, _command("keeper", arguments))


def _command(role: str, *arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", "supervisord_lite.daemon", role, *arguments]


def runtime_root() -> str:
    """Where daemons of this user keep what must outlive them within one boot."""
    if os.geteuid() == 0:
        return "/run/supervisord-lite"
    directory = os.environ.get("XDG_RUNTIME_DIR", "")
    if directory.startswith("/"):
        return f"{directory}/supervisord-lite"
    return f"/tmp/supervisord-lite-{os.geteuid()}"  # noqa: S108 - made with mode 0700, and checked


def keeper_directory(files: list[str]) -> str:
    """The keeper's own place: one a configuration file, known before the file has been read."""
    path = os.path.realpath(files[0])
    stem = os.path.splitext(os.path.basename(path))[0]
    return f"{runtime_root()}/keepers/{stem}-{zlib.crc32(os.fsencode(path)):08x}"


def _make_ours(directory: str, mode: int) -> None:
    """Make a directory that only we can write to. Raises OSError if it is a link, somebody else's,
    or open to others: what is in it decides what is run.
    """
    with suppress(FileExistsError):
        os.mkdir(directory, mode)
        os.chmod(directory, mode)  # whatever the umask
    found = os.lstat(directory)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, "it is a link or belongs to another user", directory)
    if found.st_mode & 0o022:
        raise PermissionError(errno.EPERM, "others may write to it", directory)


def _append_only(descriptor: int) -> None:
    """Several of us write to a file that is our stdout; none may overwrite another's lines."""
    with suppress(OSError):
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
            fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_APPEND)


def keeper_main(arguments: dict[str, Any]) -> int:
    """Lock the place, keep until the end; the exit code of the daemon."""
    from supervisord_lite.keeper.keeper import Keeper, Settings
    from supervisord_lite.linux.lock_file import AlreadyRunning, acquire
    from supervisord_lite.linux.prctl import name_process

    files = arguments["files"]
    directory = keeper_directory(files)
    lock = os.path.join(directory, "lock")
    try:
        # Others may pass the root's own, to control sockets whose mode lets them in.
        _make_ours(runtime_root(), 0o755 if os.geteuid() == 0 else 0o700)
        _make_ours(os.path.dirname(directory), 0o700)
        _make_ours(directory, 0o700)
        acquire(lock)
    except AlreadyRunning as running:
        return _refuse(f"cannot run {files[0]}: {running}")
    except OSError as error:
        return _refuse(f"cannot use {error.filename}: {error.strerror}")
    name_process("sl-keeper")
    _append_only(1)
    _append_only(2)
    systemd = "NOTIFY_SOCKET" in os.environ
    # Who types `run` wants the file as it is now. A daemon that was killed goes on with what was
    # applied: systemd's restart after a death, and the manager that takes the keeper's place.
    insist = not systemd and not arguments.get("takeover")
    compiler = [sys.executable, "-P", "-m", "supervisord_lite.config.compiler", *files]
    greeting = {
        "files": files,
        "terminal": os.isatty(1),
        "systemd": systemd,
        "arguments": arguments,
        "compiler": compiler,
    }
    settings = Settings(
        directory=directory,
        manager=_command("manager"),
        hold=arguments["hold"],
        greeting=greeting,
        first=("@compile", compiler),
        insist=insist,
    )
    code = Keeper(settings).run()
    with suppress(OSError):  # not empty: something lives on, and the next keeper will want to know
        os.unlink(lock)
        os.rmdir(directory)
    return code


def _refuse(text: str) -> int:
    sys.stderr.write(f"supervisord-lite: {text}\n")
    return 1


def manager_main() -> int:
    """Serve as the manager of the keeper at the other end of descriptor 3."""
    import gc

    from supervisord_lite.manager.program import Program

    program = Program()  # before the files are read that it is to know

    from supervisord_lite.keeper.protocol import BrokenLink
    from supervisord_lite.linux.descriptors import raise_limit, restore_limit
    from supervisord_lite.linux.notify import pass_on
    from supervisord_lite.linux.prctl import name_process
    from supervisord_lite.manager.keeper_link import KeeperLink

    name_process("sl-manager")
    original_limit = raise_limit()
    # Refcounting frees nearly everything here; the collector would only cause pauses.
    gc.set_threshold(50_000, 50, 50)
    link = KeeperLink(socket.socket(fileno=_MANAGER_LINK))
    threading.excepthook = partial(_die_of_a_thread, link)
    os.set_inheritable(_MANAGER_LINK, False)
    try:
        given = link.inherit()
    except BrokenLink:
        return 1
    try:
        how, channels = _serve(link, given, program)
    except Exception:  # noqa: BLE001 - whatever it is, the next manager is told
        import traceback

        _despair(link, traceback.format_exc())
        return 1
    if how == "orphaned" and not given.greeting.get("systemd"):
        # Nobody restarts us: take the keeper's place. The journal says what there is to adopt; what
        # is in channels that no worker has open is handed on by us.
        variables = os.environ | pass_on(channels)
        restore_limit(original_limit)
        arguments = given.greeting["arguments"] | {"takeover": True}
        os.execve(sys.executable, _command("keeper", json.dumps(arguments)), variables)
    return 0


def _die_of_a_thread(link: Any, failure: Any) -> None:
    """No thread dies alone: without one of them the manager is broken, and the next one is not."""
    import traceback

    _die(link, "".join(traceback.format_exception(failure.exc_value)))


def _die(link: Any, why: str) -> None:
    _despair(link, why)
    os._exit(1)


def _make_way(link: Any, why: str) -> None:
    """End, and the next manager comes. If the keeper is gone, none would: then this process is
    about to take its place, and to become the new program by that.
    """
    if not link.is_alone():
        _die(link, why)


def _despair(link: Any, text: str) -> None:
    """Tell the next manager why this one dies, and stderr if it takes that at once: a reader of it
    that has stopped reading must not hold up the end.
    """
    with suppress(Exception):
        link.order([{"do": "despair", "traceback": text}])
    with suppress(OSError):
        if select.select((), (2,), (), 0)[1]:
            os.write(2, text.encode(errors="backslashreplace")[-_AT_ONCE:])


def _serve(link: Any, given: Any, program: Any) -> tuple[str, dict[str, int]]:
    """Be the manager; how that ended, and the descriptors of the channels, by name."""
    import asyncio
    import logging

    from supervisord_lite.manager.assembly import Manager
    from supervisord_lite.manager.output.chronicle import LibraryLog

    async def serve(listener: socket.socket, service: Any, logs: Any) -> Any:
        from supervisord_lite.control.server import serve as open_server

        program.guard(partial(_make_way, link))  # only now: what every manager needs is here
        return await open_server(listener, service, logs)

    async def live() -> tuple[str, dict[str, int]]:
        manager = Manager(link, given, serve, program)
        library = LibraryLog(manager.notices.chronicle)
        logging.basicConfig(handlers=[library], format="%(message)s", level=logging.INFO)
        asyncio.get_running_loop().set_exception_handler(manager.broken)
        manager.start(given.facts)
        return await manager.done, manager.channels.to_pass_on()

    return asyncio.run(live())


if __name__ == "__main__":
    if sys.argv[1] == "keeper":
        sys.exit(keeper_main(json.loads(sys.argv[2])))
    sys.exit(manager_main())
