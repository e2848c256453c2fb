"""A process that does nothing but run a data plane with one copied stream, to be killed.

    copying_process.py PATH PIPE CHANNEL HOP

PIPE is the stream's, CHANNEL a descriptor of the pipe that it is copied into, HOP the three
descriptors of the stream's own hop, comma-separated. All are inherited, as if a keeper had handed
them over. Says `up` once it runs.
"""

import signal
import sys

from supervisord_lite.core.log import Log, Rotation
from supervisord_lite.logs.capture.copied import write_end
from supervisord_lite.logs.feeds.relay import Relay
from supervisord_lite.logs.plane import DataPlane, Hop, make_hop

STREAM = "w"
KEY = f"copy {STREAM} 0"


class Inherited:
    """The hop of the copy, held by whoever started this process, and any other made here: no bytes
    go through the lane's.
    """

    def __init__(self, hop: Hop) -> None:
        self._hop = hop

    def get(self, key: str) -> Hop:
        return self._hop if key == KEY else make_hop()

    def held(self) -> dict[str, Hop]:
        return {KEY: self._hop}

    def buffer(self, stream: str) -> int:
        raise AssertionError(f"{stream} is raw")

    def has_buffer(self, stream: str) -> bool:
        return False

    def drop_buffer(self, stream: str) -> None: ...

    def drop(self, key: str) -> None: ...


class NoRelays:
    def get(self, stream: str) -> Relay:
        raise AssertionError(f"{stream} has no tap")

    def drop(self, stream: str) -> None: ...

    def drop_others(self) -> None: ...


def main(path: str, pipe: str, channel: str, hop: str) -> None:
    hops = Inherited(Hop(*map(int, hop.split(","))))
    plane = DataPlane(hops, NoRelays(), print, lambda _: write_end(int(channel)))
    plane.attach(STREAM, int(pipe), Log(path, Rotation(5_000_000, keep=100_000), channel="c"))
    plane.start()
    print("up", flush=True)
    signal.pause()


main(*sys.argv[1:])
