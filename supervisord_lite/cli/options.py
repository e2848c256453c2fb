"""What commands of `slctl` have in common: arguments, options, and the way to the daemon."""

import functools
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from supervisord_lite.client import Client

Command = Callable[..., None]

AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print the API's JSON.")


def client() -> Client:
    """The daemon that this command is for, found when the command's arguments have been read."""
    return Client(click.get_current_context().obj)


def dump(value: Any) -> None:
    sys.stdout.write(f"{json.dumps(value)}\n")


def seconds(text: str) -> float:
    """A duration as in the configuration: `250ms`, `5s`, `2m`; a bare number is seconds."""
    from supervisord_lite.config.values import duration

    try:
        return duration(f"{text}s" if text.isdecimal() else text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def waiting(default: str) -> Callable[[Command], Command]:
    """The options of commands that can wait for what they asked to come true."""

    def decorate(command: Command) -> Command:
        wait = click.option("--wait/--no-wait", default=True, show_default=True)
        timeout = click.option(
            "--timeout", type=seconds, default=default, show_default=True, metavar="DURATION"
        )
        return wait(timeout(command))

    return decorate


def choosing(*, needed: bool) -> Callable[[Command], Command]:
    """The names and labels by which commands choose instances. Where they are `needed` one of
    them has to be given: nothing said is nobody meant.
    """

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def chosen(names: Sequence[str], selectors: Sequence[str], **others: Any) -> None:
            if needed and not names and not selectors:
                raise click.UsageError("Missing argument 'NAMES...', or -l SELECTOR.")
            command(names, selector=",".join(selectors) if selectors else None, **others)

        option = click.option(
            "-l",
            "--selector",
            "selectors",
            multiple=True,
            metavar="SELECTOR",
            help="Only those with these labels: tier=web,env!=prod,team.",
        )
        return click.argument("names", nargs=-1)(option(chosen))

    return decorate
