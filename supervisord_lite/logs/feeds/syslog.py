"""Messages for syslog: RFC 5424, over the Unix socket that a syslog daemon listens on.

    <30>1 2026-11-23T02:17:05.123Z host web 4711 stdout
        [supervisord-lite@32473 instance="0" run="3"] text      (all on one line)

A line of stdout has severity informational, one of stderr error. Datagrams are tried first, then a
stream, on which the length stands before each message (octet counting, RFC 6587). The number in the
structured data's name is that for examples (RFC 5612), as the project has none of its own.
"""

import errno
import os
import re
import socket
from collections.abc import Callable

from supervisord_lite.logs.feeds.mixture import Piece
from supervisord_lite.logs.line import Source, timestamp

LONGEST_LINE = 8 * 1024  # bytes: what receivers take as a rule
_INFORMATIONAL, _ERROR = 6, 3  # section 6.2.1
_NAME = 48  # characters of an APP-NAME, section 6.2.5
_HOST = 255
_UNPRINTABLE = re.compile(r"[^\x21-\x7e]")

Pids = Callable[[Source, int], int | None]


class Syslog:
    """A syslog daemon at the other end of `path`. `pid_of` knows the process of a run, if it
    lives.
    """

    def __init__(self, path: str, facility: int, pid_of: Pids) -> None:
        self.path = path
        self._facility = facility
        self._pid_of = pid_of
        self._host = _name(os.uname().nodename, _HOST)
        self._socket: socket.socket | None = None
        self._stream = False
        self._rest = b""  # of a message that the stream has the beginning of
        self._headed: tuple[Piece | None, bytes] = None, b""  # all but the text, for this piece

    @property
    def fd(self) -> int:
        """What tells when a message can be sent."""
        assert self._socket is not None, "something was sent"
        return self._socket.fileno()

    def send(self, piece: Piece) -> None:
        """Send one message; see `forwarding.Service`."""
        if self._socket is None:
            self._connect()
        assert self._socket is not None, "it is connected"
        if not self._stream:
            self._socket.send(self._message(piece))
            return
        if not self._rest:
            message = self._message(piece)
            self._rest = b"%d %b" % (len(message), message)
        while self._rest:
            self._rest = self._rest[self._socket.send(self._rest) :]

    def close(self) -> None:
        """Hang up; the next message connects again."""
        self._rest = b""
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def _connect(self) -> None:
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            connection = socket.socket(socket.AF_UNIX, kind | socket.SOCK_NONBLOCK)
            try:
                connection.connect(self.path)
            except OSError as error:
                connection.close()
                if error.errno != errno.EPROTOTYPE or kind == socket.SOCK_STREAM:
                    raise
            else:
                self._socket, self._stream = connection, kind == socket.SOCK_STREAM
                return

    def _message(self, piece: Piece) -> bytes:
        if self._headed[0] is not piece:
            self._headed = piece, self._head(piece)
        return self._headed[1] + piece.text.removesuffix(b"\r")

    def _head(self, piece: Piece) -> bytes:
        source = piece.source
        severity = _INFORMATIONAL if source.stream == "stdout" else _ERROR
        pid = self._pid_of(source, piece.run)
        partial = ' partial="true"' if piece.partial else ""
        return (
            f"<{8 * self._facility + severity}>1 {timestamp(piece.time)} {self._host} "
            f"{_name(source.worker, _NAME)} {pid or '-'} {source.stream} "
            f'[supervisord-lite@32473 instance="{source.instance}" run="{piece.run}"{partial}] '
        ).encode()


def _name(text: str, longest: int) -> str:
    return _UNPRINTABLE.sub("_", text)[:longest] or "-"
