"""Servers that probes are tried on: each answers every connection in one fixed way."""

import contextlib
import socket
import threading
from collections.abc import Iterator

NOBODY = 0.05  # seconds between two looks at whether the test is over


class Server:
    """Listens, reads the request of each client, and sends an answer, or says nothing."""

    def __init__(self, family: int, address: tuple[str, int], answer: bytes | None) -> None:
        self.requests: list[bytes] = []
        self._answer = answer
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(address, family=family)
        self._listener.settimeout(NOBODY)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def _serve(self) -> None:
        while not self._over.is_set():
            with contextlib.suppress(TimeoutError):
                client, _ = self._listener.accept()
                self._open.append(client)
                client.settimeout(5.0)
                self._talk(client)

    def _talk(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            request = b""
            while not request.endswith(b"\r\n\r\n"):
                data = client.recv(4096)
                if not data:
                    return
                request += data
            self.requests.append(request)
            if self._answer is not None:
                client.sendall(self._answer)
                client.close()

    def close(self) -> None:
        self._over.set()
        self._thread.join()
        for client in self._open:
            client.close()
        self._listener.close()


@contextlib.contextmanager
def serving(
    answer: bytes | None = b"", host: str = "127.0.0.1", family: int = socket.AF_INET
) -> Iterator[Server]:
    """A server for as long as the block."""
    server = Server(family, (host, 0), answer)
    try:
        yield server
    finally:
        server.close()


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
