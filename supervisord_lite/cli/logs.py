"""Showing logs: the text as it was written, or each line behind the name of who wrote it."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from supervisord_lite.cli.render import escape, escape_lines
from supervisord_lite.client import Client

# A line that does not end is shown in pieces of about this many characters.
_LONGEST_LINE = 65536


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whose logs, and what of them."""

    names: tuple[str, ...]
    selector: str | None
    lines: int
    stream: str | None


class Printer:
    """Writes pieces of many streams to stdout, whole lines of one at a time if `prefixed`."""

    def __init__(self, *, prefixed: bool) -> None:
        self._prefixed = prefixed
        self._unfinished: dict[str, str] = {}
        self._escaped = sys.stdout.isatty()

    def show(self, piece: Mapping[str, Any]) -> None:
        text = escape_lines(piece["text"]) if self._escaped else piece["text"]
        if self._prefixed:
            text = self._with_names(_title(piece), text)
        sys.stdout.write(text)
        sys.stdout.flush()

    def end(self) -> None:
        """Show lines that were never finished."""
        for title, line in self._unfinished.items():
            if line:
                sys.stdout.write(f"{title} | {line}\n")
        sys.stdout.flush()

    def _with_names(self, title: str, text: str) -> str:
        *lines, rest = (self._unfinished.pop(title, "") + text).split("\n")
        if len(rest) > _LONGEST_LINE:
            lines.append(rest)
            rest = ""
        self._unfinished[title] = rest
        return "".join(f"{title} | {line}\n" for line in lines)


def show(client: Client, wanted: Wanted) -> None:
    """Print what is in the logs now."""
    pieces = client.logs(
        wanted.names, selector=wanted.selector, lines=wanted.lines, stream=wanted.stream
    )
    printer = Printer(prefixed=len(pieces) > 1)
    for piece in pieces:
        printer.show(piece)
        for further in _rest(client, piece):
            printer.show(further)
    printer.end()


def _rest(client: Client, piece: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The further pieces of a log of which one answer could not hold all."""
    source = f"{piece['name']}/{piece['stream']}"
    while piece["more"]:
        cursors = {source: piece["cursor"]}
        (piece,) = client.logs([piece["name"]], stream=piece["stream"], cursors=cursors)
        yield piece


def follow(client: Client, wanted: Wanted) -> None:
    """Print output as it comes, until the daemon is gone."""
    names, selector, stream = wanted.names, wanted.selector, wanted.stream
    logs = client.logs(names, selector=selector, lines=0, stream=stream)
    printer = Printer(prefixed=len(logs) > 1)
    try:
        for piece in client.follow(names, selector=selector, lines=wanted.lines, stream=stream):
            printer.show(piece)
    finally:
        printer.end()


def _title(piece: Mapping[str, Any]) -> str:
    suffix = "" if piece["stream"] == "stdout" else f" {piece['stream']}"
    return escape(piece["name"]) + suffix
