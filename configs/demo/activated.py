"""A web server on sockets that it was started with: those of LISTEN_FDS, or those whose numbers are
its arguments.
"""

import http.server
import os
import socket
import socketserver
import sys
import threading

FIRST = 3  # SD_LISTEN_FDS_START, sd_listen_fds(3)


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = f"answered by process {os.getpid()}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return str(self.client_address)


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """Serves a socket that listens already."""

    daemon_threads = True

    def __init__(self, number: int) -> None:
        super().__init__(("", 0), Page, bind_and_activate=False)
        self.socket.close()
        self.socket = socket.socket(fileno=number)


def numbers() -> list[int]:
    if sys.argv[1:]:
        return [int(number) for number in sys.argv[1:]]
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        sys.exit("these sockets are somebody else's")
    return [FIRST + number for number in range(int(os.environ["LISTEN_FDS"]))]


servers = [threading.Thread(target=Server(number).serve_forever) for number in numbers()]
for server in servers:
    server.start()
print(f"{len(servers)} sockets, named {os.environ.get('LISTEN_FDNAMES')}")
for server in servers:
    server.join()
