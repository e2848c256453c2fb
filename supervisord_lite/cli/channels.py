"""`slctl channel`: what is in channels and who has them, and messages by hand."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from supervisord_lite.cli import exits
from supervisord_lite.cli.options import AS_JSON, client, dump, seconds
from supervisord_lite.cli.render import complain, escape

_HEAD = ("NAME", "TYPE", "HOLDS", "USERS", "STATE")
_WAIT = click.option(
    "--wait", type=seconds, default="0s", show_default=True, metavar="DURATION", help="Try so long."
)


@click.group()
def channel() -> None:
    """Look at channels, and put into them and take out by hand."""


@channel.command("ls")
@AS_JSON
def ls(*, as_json: bool) -> None:
    """Show all channels."""
    rows = client().channels()
    if as_json:
        dump({"channels": rows})
        return
    cells = [_HEAD, *map(_cells, rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        padded = (f"{cell:{width}}" for cell, width in zip(line, widths, strict=True))
        sys.stdout.write("  ".join(padded).rstrip() + "\n")


@channel.command("show")
@click.argument("name")
@AS_JSON
def show(name: str, *, as_json: bool) -> None:
    """Show one channel, and each process that has it open."""
    (row,) = client().channels(name)
    if as_json:
        dump(row)
        return
    for line in _details(row):
        sys.stdout.write(line + "\n")


@channel.command("put")
@click.argument("name")
@click.argument("message", required=False)
@_WAIT
def put(name: str, message: str | None, *, wait: float) -> None:
    """Put MESSAGE, or else what comes on stdin, as one message of bytes."""
    data = sys.stdin.buffer.read() if message is None else message.encode(errors="surrogateescape")
    result = client().put(name, data, wait)
    if not result["ok"]:
        complain(f"cannot put it all into {name}: there was room for {result['bytes']} bytes")
        click.get_current_context().exit(exits.TIMEOUT)


@channel.command("get")
@click.argument("name")
@_WAIT
@AS_JSON
def get(name: str, *, wait: float, as_json: bool) -> None:
    """Take one message out and print it on lines; what Python has put as a literal."""
    message = client().get(name, wait)
    if message is None:
        complain(f"nothing is in {name}")
        click.get_current_context().exit(exits.TIMEOUT)
    if as_json:
        dump(message)
    else:
        from supervisord_lite.cli import messages

        messages.show(message)


@channel.command("peek")
@click.argument("name")
@click.option("-n", "--count", type=click.IntRange(1, 1000), default=1, show_default=True)
@AS_JSON
def peek(name: str, *, count: int, as_json: bool) -> None:
    """Show what comes next, or what a value or array is, and leave it there."""
    seen = client().peek(name, count)
    if as_json:
        dump(seen)
        return
    from supervisord_lite.cli import messages

    for value in seen.get("values", ()):
        sys.stdout.write(f"{json.dumps(value)}\n")
    for message in seen.get("messages", ()):
        messages.show(message)


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    users = [holder["name"] or str(holder["pid"]) for holder in row["holders"]]
    state = row["trouble"] or ("closed" if row.get("open") is False else "ok")
    return escape(row["name"]), row["type"], _depth(row), escape(_few(users)), escape(state)


def _depth(row: Mapping[str, Any]) -> str:
    if row.get("depth") is None:
        return "-"
    most = row.get("capacity")
    return f"{row['depth']} {row['unit']}" if most is None else f"{row['depth']} of {most}"


def _few(users: Sequence[str]) -> str:
    shown = list(dict.fromkeys(users))
    more = f" +{len(shown) - 3}" if len(shown) > 3 else ""
    return ", ".join(shown[:3]) + more or "-"


def _details(row: Mapping[str, Any]) -> Iterator[str]:
    for key, value in row.items():
        if key != "holders" and value is not None:
            yield f"{key}: {escape(str(value))}"
    for holder in row["holders"]:
        owns = ", holds it" if holder["owns"] else ""
        who = escape(holder["name"] or "another process")
        if holder.get("run") is not None:
            who += f" run {holder['run']}" + ("" if holder["main"] else ", not its main process")
        yield f"pid {holder['pid']}: {who} ({', '.join(holder['uses'])}){owns}"
