"""What a stream in trouble has lost, and the words for it."""

from supervisord_lite.logs.capture.mover import discard


class Losses:
    """Bytes and lines: `ever`, and in the present trouble (`now`)."""

    def __init__(self) -> None:
        self.ever = (0, 0)
        self.now = (0, 0)

    def add(self, total: int, lines: int) -> None:
        """Some are gone."""
        self.ever = self.ever[0] + total, self.ever[1] + lines
        self.now = self.now[0] + total, self.now[1] + lines

    def drop(self, source: int, count: int) -> int:
        """Throw away up to `count` bytes that wait in a pipe; answers how many it were."""
        total, lines = discard(source, count)
        self.add(total, lines)
        return total

    def forget(self) -> None:
        """The trouble is over."""
        self.now = (0, 0)

    def marker(self, trouble: str) -> str:
        """The line that says so in the log, empty if nothing was lost."""
        total, lines = self.now
        if not total:
            return ""
        why = trouble.rpartition(": ")[2]
        return f"[supervisord-lite: {total} bytes in {lines} lines lost: {why}]"
