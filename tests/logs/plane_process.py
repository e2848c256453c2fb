"""A process that does nothing but run a data plane, to be killed.

    plane_process.py PATH SIZE HOPS PIPES

Stream `wN` comes from the N-th of PIPES and goes to PATH.N.log, rotated at SIZE bytes. HOPS are two
hops, three descriptors each. All are inherited and comma-separated, as if a keeper had handed them
over. No stream has a tap. Says `up` once it runs.
"""

import signal
import sys

from supervisord_lite.core.log import Log, Rotation
from supervisord_lite.logs.plane import DataPlane, Hop
from supervisord_lite.logs.relay import Relay


class Inherited:
    """Two hops, held by whoever started this process: the N-th under every key that ends in N."""

    def __init__(self, fds: list[int]) -> None:
        self._hops = [Hop(*fds[:3]), Hop(*fds[3:])]

    def get(self, key: str) -> Hop:
        return self._hops[int(key.rpartition(" ")[2])]

    def held(self) -> dict[str, Hop]:
        return {str(number): hop for number, hop in enumerate(self._hops)}


class NoRelays:
    def get(self, stream: str) -> Relay:
        raise AssertionError(f"{stream} has no tap")

    def drop(self, stream: str) -> None: ...

    def drop_others(self) -> None: ...


def main(path: str, size: str, hops: str, pipes: str) -> None:
    inherited = Inherited([int(fd) for fd in hops.split(",")])
    plane = DataPlane(inherited, NoRelays(), print)
    for number, pipe in enumerate(pipes.split(",")):
        log = Log(f"{path}.{number}.log", Rotation(int(size), keep=100_000))
        plane.attach(f"w{number}", int(pipe), log)
    plane.start()
    print("up", flush=True)
    signal.pause()


main(*sys.argv[1:])
