"""What the streams of one lane work with, all of it used by the lane's thread alone."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from supervisord_lite.logs.capture.alarms import Alarms
from supervisord_lite.logs.capture.growth import Growths
from supervisord_lite.logs.capture.hop import Passage
from supervisord_lite.logs.capture.mover import Mover
from supervisord_lite.logs.capture.timeouts import Timeouts
from supervisord_lite.logs.capture.widths import Widths
from supervisord_lite.logs.event import LogEvent
from supervisord_lite.logs.feeds.tap import Openings
from supervisord_lite.logs.files.index import OpenIndexes
from supervisord_lite.logs.poller import Poller


class Retryable(Protocol):
    """Something in trouble that tries again every second."""

    def retry(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Bench:
    """The tools of one lane."""

    passage: Passage
    report: Callable[[LogEvent], None]
    poller: Poller
    openings: Openings
    alarms: Alarms
    growths: Growths
    timeouts: Timeouts
    widths: Widths = field(default_factory=Widths)
    mover: Mover = field(default_factory=Mover)
    indexes: OpenIndexes = field(default_factory=OpenIndexes)
    retries: set[Retryable] = field(default_factory=set)

    def close(self) -> None:
        """Give everything back but the hop, which others hold too."""
        self.openings.close()
        self.alarms.close()
        self.growths.close()
        self.indexes.close()
        self.mover.close()
        self.poller.close()
