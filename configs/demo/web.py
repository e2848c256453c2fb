"""A web server that says which process answered, and how often it has."""

import http.server
import itertools
import os
import signal
import sys


class Page(http.server.BaseHTTPRequestHandler):
    counter = itertools.count(1)

    def do_GET(self) -> None:
        body = f"visit {next(self.counter)}, answered by process {os.getpid()}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *values: object) -> None:  # noqa: A002 - the name it has
        print(self.address_string(), format % values, flush=True)


def leave(number: int, frame: object) -> None:
    print("closing the shop", flush=True)
    sys.exit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, leave)
    http.server.ThreadingHTTPServer.allow_reuse_address = True
    with http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Page) as server:
        print(f"listening on port {server.server_port}", flush=True)
        server.serve_forever()
