"""Listens on the Unix socket of the given path, and answers every connection with a line."""

import contextlib
import os
import socket
import sys

path = sys.argv[1]
with contextlib.suppress(FileNotFoundError):
    os.unlink(path)
with socket.create_server(path, family=socket.AF_UNIX) as listener:
    while True:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"here\n")
