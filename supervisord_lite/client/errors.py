"""All that can keep a call from being answered."""

from collections.abc import Sequence


class ClientError(Exception):
    """Anything that kept a call from being answered."""


class NoDaemon(ClientError):
    """Nobody listens."""


class SeveralDaemons(ClientError):
    """More than one daemon runs here; `sockets` are theirs."""

    def __init__(self, sockets: Sequence[str]) -> None:
        super().__init__(f"cannot choose between several daemons: {', '.join(sockets)}")
        self.sockets = tuple(sockets)


class Denied(ClientError):
    """The user has no right to the socket."""


class Broken(ClientError):
    """The connection ended before the answer did: whether the call was obeyed is not known."""


class TimedOut(ClientError):
    """No answer in time; the daemon may still do what it was asked."""


class ApiError(ClientError):
    """The daemon said no: the HTTP `status`, and the `problems` of a bad configuration."""

    def __init__(self, status: int, text: str, problems: Sequence[str] = ()) -> None:
        super().__init__(text)
        self.status = status
        self.problems = tuple(problems)
