"""What the control API is lent of the logs: which there are, how to read and how to watch them."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from supervisord_lite.core.fleet import Fleet
from supervisord_lite.core.log import Log
from supervisord_lite.logs.line import Source
from supervisord_lite.logs.plane import DataPlane
from supervisord_lite.logs.reading.reader import Follower
from supervisord_lite.manager.output.chronicle import STREAM, OwnFile
from supervisord_lite.manager.output.streams import logged_streams
from supervisord_lite.manager.output.wanted import Opened, Reading

if TYPE_CHECKING:
    from supervisord_lite.manager.output.lines import LineView

Rows = list[dict[str, Any]]

DAEMON = "@daemon"  # the name of the daemon's own log, which no worker can have


class Logs:
    """The logs of a fleet's instances, and the daemon's own. `open` touches the disk and belongs
    into a thread, as does `feeds`, which answers one row a feed.
    """

    def __init__(
        self, fleet: Fleet, plane: DataPlane, own: OwnFile, feeds: Callable[[], Rows]
    ) -> None:
        self._fleet = fleet
        self._plane = plane
        self._own = own
        self._feeds = feeds

    def streams(self, instance: str) -> Sequence[str]:
        """Those of "stdout" and "stderr" that have a log."""
        return list(self._logs(instance))

    def log(self, instance: str, stream: str) -> tuple[str, str] | None:
        """The path of the log and the format of its lines; None if there is none any more."""
        log = self._logs(instance).get(stream)
        return None if log is None else (log.path, log.format)

    def open(self, instance: str, stream: str, *, lines: int, position: str | None) -> Follower:
        """A reader from `position`, or else from the last `lines` lines."""
        return Follower(self._logs(instance)[stream].path, position, tail=lines)

    def lines(self, wanted: Sequence[tuple[str, str, str | None]], reading: Reading) -> "LineView":
        """The lines of these streams: of which instance and which of its streams, from where."""
        from supervisord_lite.manager.output.lines import LineView

        return LineView([self._opened(*one) for one in wanted], reading)

    def watch(self, instance: str, stream: str, wake: Callable[[], None]) -> Callable[[], None]:
        """Call `wake`, from any thread, whenever the log grew or rotated. Returns the cancel."""
        name = STREAM if instance == DAEMON else f"{instance}/{stream}"
        return self._plane.watch(name, wake)

    def feeds(self) -> Rows:
        """How far each feed has come. It reads logs, and belongs into a thread."""
        return self._feeds()

    def _logs(self, instance: str) -> dict[str, Log]:
        """By stream."""
        if instance == DAEMON:
            return {} if self._own.log is None else {"stdout": self._own.log}
        if instance not in self._fleet.instances:
            return {}
        spec = self._fleet.instances[instance].spec
        return {name.rpartition("/")[2]: log for name, log in logged_streams(spec)}

    def _opened(self, instance: str, stream: str, position: str | None) -> Opened:
        worker, number = DAEMON, 0
        if instance != DAEMON:
            spec = self._fleet.instances[instance].spec
            worker, number = spec.worker, spec.number
        log = self._logs(instance)[stream]
        name = f"{instance}/{stream}"
        source = Source(worker, number, stream)
        return Opened(name, source, log.path, position, log.max_line, log.format)
