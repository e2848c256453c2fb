"""A worker that says on its NOTIFY_SOCKET what it is told to: `talker.py SOCKET`.

It is told by datagrams at SOCKET, each of one word and a message:

    self      the main process says it
    child     a child says it, and lives on
    gone      a child says it, and is reaped at once
    orphan    a grandchild says it that has left session and parent, and lives on
    handover  says it of a fresh child (CHILD stands for its pid), and the main process exits
"""

import contextlib
import os
import signal
import socket
import sys


def say(message: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as way:
        way.sendto(message, os.environ["NOTIFY_SOCKET"])


def child(message: bytes) -> int:
    """Fork one that says it and waits for its end."""
    pid = os.fork()
    if pid == 0:
        if message:
            say(message)
        while True:
            signal.pause()
    return pid


def obey(word: bytes, message: bytes) -> None:
    if word == b"self":
        say(message)
    elif word == b"child":
        child(message)
    elif word == b"gone":
        pid = os.fork()
        if pid == 0:
            say(message)
            os._exit(0)
        os.waitpid(pid, 0)
    elif word == b"orphan":
        pid = os.fork()
        if pid == 0:
            os.setsid()
            child(message)
            os._exit(0)
        os.waitpid(pid, 0)
    elif word == b"handover":
        say(message.replace(b"CHILD", b"%d" % child(b"")))
        os._exit(0)


if __name__ == "__main__":
    with contextlib.suppress(FileNotFoundError):  # an earlier run's
        os.unlink(sys.argv[1])
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as orders:
        orders.bind(sys.argv[1])
        while True:
            head, _, body = orders.recv(1 << 20).partition(b" ")
            obey(head, body)
