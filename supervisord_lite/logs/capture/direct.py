"""Logs that their workers write themselves (`direct: true`), as the data plane knows them: by name.

No pipe, no copy, no index and no trouble of ours. What is left to do is to tell those who read such
a log that it grew, as long as there are any, in the thread of the lane on whose file system it is.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from supervisord_lite.core.log import Log
from supervisord_lite.logs.capture.lane import Lane
from supervisord_lite.logs.event import StreamStatus


class DirectLogs:
    """`grew` is called with a stream's name, in a lane's thread; all else is the caller's."""

    def __init__(self, lane_of: Callable[[str], Lane], grew: Callable[[str], None]) -> None:
        self._lane_of = lane_of
        self._grew = grew
        self._logs: dict[str, Log] = {}
        self._watched: dict[str, Lane] = {}

    def __contains__(self, stream: str) -> bool:
        return stream in self._logs

    def attach(self, stream: str, log: Log) -> None:
        """Know of it."""
        self._logs[stream] = log

    def adjust(self, stream: str, log: Log) -> None:
        """It is another file now."""
        watched = stream in self._watched
        self.unwatch(stream)
        self._logs[stream] = log
        if watched:
            self.watch(stream)

    def detach(self, stream: str) -> None:
        """Know of it no more."""
        self.unwatch(stream)
        del self._logs[stream]

    def began(self, stream: str) -> None:
        """A run is about to write: the file, or its directory, may be there only from now on."""
        if stream in self._watched:
            self._watched[stream].aim_again(self._logs[stream].path)

    def post(self, stream: str, act: Callable[[], None]) -> None:
        """Have something done in the thread of the lane that its file system has."""
        self._lane_of(self._logs[stream].path).post(act)

    def watch(self, stream: str) -> None:
        """Somebody reads it."""
        if stream not in self._watched:
            path = self._logs[stream].path
            lane = self._watched[stream] = self._lane_of(path)
            lane.watch_growth(path, partial(self._grew, stream))

    def unwatch(self, stream: str) -> None:
        """Nobody does."""
        lane = self._watched.pop(stream, None)
        if lane is not None:
            lane.unwatch_growth(self._logs[stream].path)

    def status(self, stream: str) -> StreamStatus:
        """The one look at a disk that nobody but us can take."""
        path, size = self._logs[stream].path, 0
        with suppress(OSError):
            size = os.stat(path).st_size
        return StreamStatus(path, size, 0, 0, None, None)
