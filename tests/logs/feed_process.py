"""A process that does nothing but feed, to be killed.

    feed_process.py KIND TARGET PIPE PAGE FIFO LOG...

KIND is `fifo` or `syslog`, TARGET its path, or `stdout`. PIPE and PAGE are a relay's descriptors
and FIFO is the write end that was held for it (-1: none), all inherited, as if a keeper had handed
them over. LOGs are files that the test writes, so this process looks into them all the time. Says
`up` on stderr once it runs.
"""

import os
import sys
import time
from functools import partial

from supervisord_lite.logs.event import LogEvent
from supervisord_lite.logs.feeds.encoding import plain, prefixed
from supervisord_lite.logs.feeds.feeder import Feed, Feeder
from supervisord_lite.logs.feeds.forwarding import (
    FifoFeed,
    MessageFeed,
    OutputFeed,
    longest_through,
)
from supervisord_lite.logs.feeds.mixture import Mixture, Origin
from supervisord_lite.logs.feeds.relay import Relay
from supervisord_lite.logs.feeds.syslog import Syslog
from supervisord_lite.logs.feeds.tap import Place
from supervisord_lite.logs.line import Source


def report(_event: LogEvent) -> None:
    """Nobody wants to know."""


def make(kind: str, target: str, relay: Relay, mixture: Mixture, feeder: Feeder) -> Feed:
    if kind == "fifo":
        lines = mixture, prefixed
        return FifoFeed("it", Place(target), relay, lines, feeder, report, lambda _: None)
    if kind == "stdout":
        return OutputFeed("it", 1, relay, (mixture, plain), feeder, report)
    service = Syslog(target, 3, lambda _source, _run: None)
    return MessageFeed("it", service, relay, mixture, feeder, report)


def main(kind: str, target: str, pipe: str, page: str, fifo: str, *logs: str) -> None:
    feeder = Feeder(report)
    relay = Relay(int(pipe), int(page), None if fifo == "-1" else int(fifo), lambda _: None)
    ring = partial(feeder.stir, "it")
    mixture = Mixture(ring, longest=longest_through(relay), live=kind == "fifo")
    for number, path in enumerate(logs):
        mixture.add(path, Origin(Source("web", number, "stdout"), path, 65536, 0))
    feeder.enter("it", lambda: make(kind, target, relay, mixture, feeder))
    feeder.start()
    assert "it" in feeder.progress()
    os.write(2, b"up\n")
    while True:
        feeder.post(mixture.wake_all)
        time.sleep(0.002)


main(*sys.argv[1:])
