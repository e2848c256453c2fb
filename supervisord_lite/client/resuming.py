"""Reading lines of logs across the deaths of managers: each answer goes on where the last one was
cut, to the byte, so that no line is missing and none comes twice.
"""

import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

from supervisord_lite.client.errors import Broken, NoDaemon
from supervisord_lite.client.transport import Transport

_PATH = "/v1/logs"
# A manager that cannot stay up is not worth a busy loop.
_PAUSE = 0.1
# A question that has killed two managers is not asked a third time.
_TRIES = 3

Query = Sequence[tuple[str, str]]


def resumed(
    daemon: Transport, query: Query, cursors: dict[str, str], *, follow: bool
) -> Iterator[dict[str, Any]]:
    """Lines as values of the API, each with its "cursor". `cursors`, by stream, are where to begin,
    and are kept up. With `follow` it ends when the daemon does.
    """
    failures = 0
    while True:
        asked = [*query, *(("cursor", f"{name}@{at}") for name, at in cursors.items())]
        try:
            for name, cursor, line in (_live if follow else _present)(daemon, asked):
                failures = 0
                cursors[name] = cursor
                if line is not None:
                    yield line
            if not follow:
                return
        except Broken:  # the manager died; the next one takes the connection that comes now
            failures += 1
            if failures == _TRIES and not follow:
                raise
        except NoDaemon:
            if follow:
                return
            raise
        time.sleep(_PAUSE)


Event = tuple[str, str, dict[str, Any] | None]  # stream, where it is, a line if there is one


def _present(daemon: Transport, query: Query) -> Iterator[Event]:
    for line in daemon.values(_PATH, query):
        name, _, cursor = line["cursor"].rpartition("@")
        yield name, cursor, line


def _live(daemon: Transport, query: Query) -> Iterator[Event]:
    for event in daemon.events(_PATH, [("follow", "1"), *query]):
        name, _, cursor = event["id"].rpartition("@")
        yield name, cursor, json.loads(event["data"]) if event["event"] == "line" else None
