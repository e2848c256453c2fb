"""The control API from Python: blocking, standard library only, quick to import.

    from supervisord_lite.client import Client

    client = Client()                     # the only daemon that runs here, or say which socket
    client.restart(["web"], timeout=30)
    for row in client.workers("web:*"):
        print(row["name"], row["state"])

Every call is one connection. What a call returns is the API's JSON (docs/api.md). Errors are
`ClientError`s. A manager that dies or is replaced is survived where that cannot do a thing twice:
queries are asked again, and followed logs go on at the byte where they were.
"""

from supervisord_lite.client.api import Client
from supervisord_lite.client.errors import (
    ApiError,
    Broken,
    ClientError,
    Denied,
    NoDaemon,
    SeveralDaemons,
    TimedOut,
)
from supervisord_lite.client.finding import ENVIRONMENT_VARIABLE, find_socket

__all__ = [
    "ENVIRONMENT_VARIABLE",
    "ApiError",
    "Broken",
    "Client",
    "ClientError",
    "Denied",
    "NoDaemon",
    "SeveralDaemons",
    "TimedOut",
    "find_socket",
]
