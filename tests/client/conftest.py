"""A whole daemon, with channels and somebody who has them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon.conftest import SLEEP, Daemon

CHANNELS = {
    "work": {"type": "queue", "capacity": 3},
    "free": {"type": "queue"},
    "lines": {"type": "pipe"},
    "guard": {"type": "lock"},
    "grid": {"type": "array", "code": "d", "length": 3, "initial": [1.5, 2], "lock": "guard"},
}


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    place = Daemon(tmp_path)
    try:
        place.run({"holder": {"command": SLEEP, "channels": ["work", "free"]}}, channels=CHANNELS)
        yield place
    finally:
        place.end()
