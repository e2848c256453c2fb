"""A command as it is written, to the list of its words as exec(2) takes it."""

import re
import shlex

from supervisord_lite.config.errors import quoted
from supervisord_lite.config.place import Place

_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./{} -]*", re.ASCII)


Command = str | tuple[str, ...]


def words_of(command: Command, place: Place, *, shell: bool) -> tuple[str, ...]:
    """The words, before anything in them is replaced. None if there is something wrong, which is
    said of `place`.
    """
    if shell:
        if isinstance(command, str):
            return ("/bin/sh", "-c", command)
        place.refuse("cannot be a list with shell: true (write it in one line)")
        return ()
    try:
        words = _split(command) if isinstance(command, str) else command
    except ValueError as error:
        place.refuse(f"cannot split {quoted(str(command))} into words: {str(error).lower()}")
        return ()
    if not words or not words[0]:
        place.refuse("cannot be empty (write the program to run)")
    return words


def _split(command: str) -> tuple[str, ...]:
    """The words as sh(1) would see them. Raises ValueError for quotes that do not end."""
    if _PLAIN.fullmatch(command):  # shlex takes its time, and most commands need none of it
        return tuple(command.split())
    return tuple(shlex.split(command))
