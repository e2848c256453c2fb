"""prctl(2) and unshare(2), which the standard library lacks. Source: the man pages of both."""

import ctypes
import os

_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_CLONE_FILES = 0x400

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> None:
    if result != 0:
        errno = ctypes.get_errno()
        raise OSError(errno, f"cannot {what}: {os.strerror(errno)}")


def become_subreaper() -> None:
    """Make orphaned descendants ours to reap, as if we were their init."""
    _checked(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "become a subreaper")


def forbid_new_privileges() -> None:
    """From here on no exec of this thread, or of its children, gains privileges. Irrevocable."""
    _checked(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "set no_new_privs")


def name_process(name: str) -> None:
    """Set the name that ps and top show (15 bytes of it); a convenience, so never an error."""
    _libc.prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)


def unshare_descriptors() -> None:
    """Give the calling thread a descriptor table of its own: a copy, from then on apart."""
    _checked(_libc.unshare(_CLONE_FILES), "unshare the descriptor table")
