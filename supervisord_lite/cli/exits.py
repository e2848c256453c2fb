"""Exit codes of `slctl`, in one place, and the way every error becomes one of them."""

import sys
from collections.abc import Sequence
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

FAILED = 1  # an instance failed, or the daemon refused
USAGE = 2  # wrong arguments, or a configuration that cannot be used
NO_DAEMON = 3
UNKNOWN_NAME = 4
TIMEOUT = 5
DENIED = 6
CHANGES = 10  # `plan --detailed-exitcode` only

_OF_STATUS = {400: USAGE, 403: DENIED, 404: UNKNOWN_NAME, 422: USAGE}


class Commands(click.Group):
    """A group whose commands may fail as the API does: one line to stderr, and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()  # here, where a reader that has left is no traceback
        except ClientError as error:
            complain(str(error))
            for problem in getattr(error, "problems", ()):
                complain(problem)
            ctx.exit(code_of(error))
        except KeyboardInterrupt:
            ctx.exit(130)  # 128 + SIGINT, as shells count
        return result


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
