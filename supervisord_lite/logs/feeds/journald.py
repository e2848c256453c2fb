"""Messages for journald, in its native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL).

A message is one datagram of fields. The text goes in the form that takes any bytes: the field's
name, a line end, the length in 8 bytes, the bytes. What is too large for a datagram is passed as a
sealed file in memory instead.
"""

import errno
import os
import socket
import struct

from supervisord_lite.linux import sealed
from supervisord_lite.linux.descriptors import send_with
from supervisord_lite.logs.feeds.mixture import Piece
from supervisord_lite.logs.line import timestamp

_INFORMATIONAL, _ERROR = 6, 3  # syslog(3)
_LENGTH = struct.Struct("<Q")
_TOO_LARGE = (errno.EMSGSIZE, errno.ENOBUFS)


class Journald:
    """The journal's socket at `path`."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._socket: socket.socket | None = None
        self._headed: tuple[Piece | None, bytes] = None, b""  # all but the text, for this piece

    @property
    def fd(self) -> int:
        """What tells when a message can be sent."""
        assert self._socket is not None, "something was sent"
        return self._socket.fileno()

    def send(self, piece: Piece) -> None:
        """Send one message; see `forwarding.Service`."""
        if self._socket is None:
            self._socket = self._connected()
        data = self._message(piece)
        try:
            self._socket.send(data)
        except OSError as error:
            if error.errno not in _TOO_LARGE:
                raise
            self._send_large(self._socket, data)

    def close(self) -> None:
        """Hang up; the next message connects again."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None

    def _message(self, piece: Piece) -> bytes:
        if self._headed[0] is not piece:
            self._headed = piece, _head(piece)
        text = piece.text.removesuffix(b"\r")
        return self._headed[1] + _LENGTH.pack(len(text)) + text + b"\n"

    def _connected(self) -> socket.socket:
        kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
        connection = socket.socket(socket.AF_UNIX, kind)
        try:
            connection.connect(self.path)
        except OSError:
            connection.close()
            raise
        return connection

    @staticmethod
    def _send_large(connection: socket.socket, data: bytes) -> None:
        fd = sealed.make("journal-message", data)
        try:
            send_with(connection, b"", [fd])
        finally:
            os.close(fd)


def _head(piece: Piece) -> bytes:
    """All fields of a line but its text."""
    source = piece.source
    fields = (
        f"PRIORITY={_INFORMATIONAL if source.stream == 'stdout' else _ERROR}\n"
        f"SYSLOG_IDENTIFIER={source.worker}\n"
        f"SUPERVISORD_LITE_WORKER={source.worker}\n"
        f"SUPERVISORD_LITE_INSTANCE={source.instance}\n"
        f"SUPERVISORD_LITE_RUN={piece.run}\n"
        f"SUPERVISORD_LITE_STREAM={source.stream}\n"
        f"SUPERVISORD_LITE_TIME={timestamp(piece.time)}\n"
        f"{'SUPERVISORD_LITE_PARTIAL=1' + chr(10) if piece.partial else ''}"
        "MESSAGE\n"
    )
    return fields.encode()
