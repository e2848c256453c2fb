"""A process that does nothing but run a data plane, to be killed.

    plane_process.py PATH SIZE FORMAT HOPS BUFFERS PIPES

Stream `wN` comes from the N-th of PIPES and goes to PATH.N.log in FORMAT, rotated at SIZE bytes.
HOPS are two hops, three descriptors each, BUFFERS one a stream. All are inherited and
comma-separated, as if a keeper had handed them over. No stream has a tap. Says `up` once it runs.
"""

import signal
import sys

from supervisord_lite.core.log import Format, Log, Rotation
from supervisord_lite.logs.feeds.relay import Relay
from supervisord_lite.logs.plane import DataPlane, Hop


class Inherited:
    """Two hops, held by whoever started this process: the N-th under every key that ends in N, and
    the buffer of stream `wN`.
    """

    def __init__(self, fds: list[int], buffers: list[int]) -> None:
        self._hops = [Hop(*fds[:3]), Hop(*fds[3:])]
        self._buffers = buffers

    def get(self, key: str) -> Hop:
        return self._hops[int(key.rpartition(" ")[2])]

    def held(self) -> dict[str, Hop]:
        return {str(number): hop for number, hop in enumerate(self._hops)}

    def buffer(self, stream: str) -> int:
        return self._buffers[int(stream.removeprefix("w"))]

    def has_buffer(self, stream: str) -> bool:
        return True

    def drop_buffer(self, stream: str) -> None: ...

    def drop(self, key: str) -> None: ...


class NoRelays:
    def get(self, stream: str) -> Relay:
        raise AssertionError(f"{stream} has no tap")

    def drop(self, stream: str) -> None: ...

    def drop_others(self) -> None: ...


def main(path: str, size: str, format_: str, hops: str, buffers: str, pipes: str) -> None:
    inherited = Inherited(*([int(fd) for fd in given.split(",")] for given in (hops, buffers)))
    plane = DataPlane(inherited, NoRelays(), lambda event: print(event, file=sys.stderr))
    for number, pipe in enumerate(pipes.split(",")):
        log = Log(f"{path}.{number}.log", Rotation(int(size), keep=100_000), format=Format(format_))
        plane.attach(f"w{number}", int(pipe), log)
    plane.start()
    print("up", flush=True)
    signal.pause()


main(*sys.argv[1:])
