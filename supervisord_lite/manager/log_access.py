"""What the control API is lent of the logs: which there are, how to read and how to watch them."""

from collections.abc import Callable, Sequence

from supervisord_lite.core.fleet import Fleet
from supervisord_lite.logs.plane import DataPlane
from supervisord_lite.logs.reader import Follower
from supervisord_lite.manager.outputs import Outputs, logged_streams


class Logs:
    """The logs of a fleet's instances. `open` touches the disk and belongs into a thread."""

    def __init__(self, fleet: Fleet, plane: DataPlane, outputs: Outputs) -> None:
        self._fleet = fleet
        self._plane = plane
        self._outputs = outputs

    def streams(self, instance: str) -> Sequence[str]:
        """Those of "stdout" and "stderr" that have a log."""
        spec = self._fleet.instances[instance].spec
        return [name.rpartition("/")[2] for name, _ in logged_streams(spec)]

    def open(self, instance: str, stream: str, *, lines: int, position: str | None) -> Follower:
        """A reader from `position`, or else from the last `lines` lines."""
        logs = dict(logged_streams(self._fleet.instances[instance].spec))
        return Follower(logs[f"{instance}/{stream}"].path, position, tail=lines)

    def watch(self, instance: str, stream: str, wake: Callable[[], None]) -> Callable[[], None]:
        """Call `wake`, from any thread, whenever the log grew or rotated. Returns the cancel."""
        return self._plane.watch(f"{instance}/{stream}", wake)
