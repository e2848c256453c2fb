"""Exit codes of `slctl`, in one place, and the way every error becomes one of them. The table of
these and of the daemon's is in docs/slctl.md.
"""

import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from supervisord_lite.cli.render import complain
from supervisord_lite.client import (
    ApiError,
    ClientError,
    Denied,
    NoDaemon,
    SeveralDaemons,
    TimedOut,
)
from supervisord_lite.core.signals import signal_name

FAILED = 1  # an instance failed, or the daemon refused
USAGE = 2  # wrong arguments, or a configuration that cannot be used
NO_DAEMON = 3
UNKNOWN_NAME = 4
TIMEOUT = 5
DENIED = 6
CHANGES = 2  # `plan` only, whose errors are all FAILED: as Terraform's detailed exit code
BY_SIGNAL = 128  # plus the signal's number, as shells count

_OF_STATUS = {400: USAGE, 403: DENIED, 404: UNKNOWN_NAME, 422: USAGE}


class Commands(click.Group):
    """A group whose commands may fail as the API does: one line to stderr, and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()  # here, where a reader that has left is no traceback
        except ClientError as error:
            say(error)
            ctx.exit(code_of(error))
        except KeyboardInterrupt:
            ctx.exit(BY_SIGNAL + signal.SIGINT)
        return result


class PlanCommand(click.Command):
    """A command whose exit code 2 means no error, not even one in its arguments."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.show()
            ctx.exit(FAILED)


def say(error: ClientError) -> None:
    """The error and all that belongs to it, to stderr."""
    complain(str(error))
    for problem in getattr(error, "problems", ()):
        complain(problem)


def code_of(error: ClientError) -> int:
    match error:
        case NoDaemon() | SeveralDaemons():
            return NO_DAEMON
        case Denied():
            return DENIED
        case TimedOut():
            return TIMEOUT
        case ApiError():
            return _OF_STATUS.get(error.status, FAILED)
        case _:
            return FAILED


def finish(failures: Sequence[bool]) -> None:
    """Leave with the code of a command that was carried out, except for the instances that failed:
    each says whether that is only because the time was up.
    """
    if failures:
        click.get_current_context().exit(TIMEOUT if all(failures) else FAILED)


def as_the_run(ending: Mapping[str, Any]) -> None:
    """Leave with the exit code of a run; one that nobody knows is a failure."""
    if ending["signal"] is not None:
        code = BY_SIGNAL + _number(ending["signal"])
    else:
        code = FAILED if ending["code"] is None else ending["code"]
    click.get_current_context().exit(code)


def _number(name: str) -> int:
    return next(number for number in range(1, 65) if signal_name(number) == name)
