"""Showing logs: the text as it was written, or each line behind its time and its name."""

import base64
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from supervisord_lite.cli import render
from supervisord_lite.cli.options import dump
from supervisord_lite.client import Client, ClientError

_COLOURS = ("cyan", "yellow", "green", "magenta", "blue", "bright_cyan", "bright_yellow")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whose logs, and what of them: see the control API for `which`."""

    names: tuple[str, ...]
    selector: str | None
    stream: str | None
    follow: bool
    after: tuple[str, ...]
    which: Mapping[str, str | int | None]

    @property
    def is_plain(self) -> bool:
        """Whether all that comes is wanted, whatever it is."""
        chosen = {key for key, value in self.which.items() if value is not None}
        return self.follow and not self.after and chosen <= {"lines"}


class Printer:
    """Writes lines of logs to stdout. `width` is that of the longest name; 0: without names."""

    def __init__(self, width: int, *, timestamps: bool, coloured: bool) -> None:
        self._width = width
        self._timestamps = timestamps
        self._coloured = coloured
        self._escaped = sys.stdout.isatty()
        self._within = False  # a line without a name, of which the end has not come

    def show(self, line: Mapping[str, Any]) -> None:
        """One line, or a part of one, which is a line of its own where it has a name."""
        sys.stdout.write(self._head(line))
        text = line["message"]
        if self._escaped:
            sys.stdout.write(render.escape_lines(text.removesuffix("\r")))
        elif "raw" in line:
            sys.stdout.flush()
            sys.stdout.buffer.write(base64.b64decode(line["raw"]))
        else:
            sys.stdout.write(text)
        self._within = not self._width and line.get("partial", False)
        if not self._within:
            sys.stdout.write("\n")
        sys.stdout.flush()

    def _head(self, line: Mapping[str, Any]) -> str:
        if self._within:
            return ""
        time = f"{line['time']} " if self._timestamps else ""
        if not self._width:
            return time
        name = f"{title(line):{self._width}}"
        bar = "|"
        if self._coloured:
            name = click.style(name, fg=_COLOURS[zlib.crc32(name.encode()) % len(_COLOURS)])
            bar = click.style(bar, fg="red") if line["stream"] == "stderr" else bar
        return f"{time}{name} {bar} "


def show(client: Client, wanted: Wanted, *, timestamps: bool, colour: bool) -> None:
    """Print lines, as many as there are or for as long as the daemon lives."""
    logs = client.logs(wanted.names, selector=wanted.selector, lines=0, stream=wanted.stream)
    if not logs and wanted.names == ("@daemon",):
        raise ClientError("cannot show the daemon's own log: it has no file (supervisor.log)")
    if not logs:
        raise ClientError("cannot show a log: none of these has one")
    width = _width(logs)
    if wanted.is_plain and not (width or timestamps) and logs[0].get("format", "raw") == "raw":
        _flow(client, wanted)
        return
    coloured = colour and render.is_coloured()
    printer = Printer(width, timestamps=timestamps, coloured=coloured)
    for line in _lines(client, wanted):
        printer.show(line)


def show_json(client: Client, wanted: Wanted) -> None:
    """Print each line as the API's JSON, which has its cursor."""
    for line in _lines(client, wanted):
        dump(line)
        sys.stdout.flush()


def _flow(client: Client, wanted: Wanted) -> None:
    """Print what comes of one log as it is, quicker than by lines, and before they end."""
    escaped = sys.stdout.isatty()
    lines = wanted.which.get("lines")
    for piece in client.follow(
        wanted.names,
        selector=wanted.selector,
        lines=10 if lines is None else int(lines),
        stream=wanted.stream,
    ):
        text = piece["text"]
        sys.stdout.write(render.escape_lines(text.replace("\r\n", "\n")) if escaped else text)
        sys.stdout.flush()


def title(line: Mapping[str, Any]) -> str:
    """The name before a line: whose it is, and its stream if that is stderr."""
    name = render.escape(line["worker"])
    if not name.startswith("@"):  # the daemon's own
        name = f"{name}:{line['instance']}"
    return name if line["stream"] == "stdout" else f"{name} err"


def _lines(client: Client, wanted: Wanted) -> Iterator[dict[str, Any]]:
    cursors = dict(_cursor(after) for after in wanted.after)
    return client.lines(
        wanted.names,
        selector=wanted.selector,
        stream=wanted.stream,
        follow=wanted.follow,
        cursors=cursors,
        **wanted.which,
    )


def _width(logs: Sequence[Mapping[str, Any]]) -> int:
    """Of the longest name before lines of these logs; 0 for a single log."""
    marks = {"stdout": "", "stderr": " err"}
    names = [render.escape(log["name"]) + marks[log["stream"]] for log in logs]
    return max(map(len, names)) if len(names) > 1 else 0


def _cursor(text: str) -> tuple[str, str]:
    stream, separator, cursor = text.rpartition("@")
    if not (stream and separator and cursor):
        raise click.BadParameter(f'cannot read "{text}" as a cursor (see --json)')
    return stream, cursor
