"""Where a socket listens, from the text that was typed: `tcp://127.0.0.1:8080`, `unix:run/x.sock`.

Hosts are addresses, never names: a daemon that has to ask a name server before it can start does
not start when that is away.
"""

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import NamedTuple

from supervisord_lite.config.errors import quoted
from supervisord_lite.core.channel import Transport

_INET = re.compile(r"(tcp|udp)://(\[[^\]]*\]|[^:\[\]]*):([0-9]{1,5})", re.ASCII)
_HINT = "try tcp://127.0.0.1:8080, udp://[::1]:53 or unix:run/x.sock"


class Listening(NamedTuple):
    """`path` is as it was written; `host` is an address, or nothing: every one."""

    transport: Transport
    host: str = ""
    port: int = 0
    path: str = ""


def listening(text: str) -> Listening:
    """Raises ValueError."""
    word, _, path = text.partition(":")
    if word in ("tcp", "udp"):
        return _inet(text)
    if word not in list(Transport):
        raise ValueError(f"cannot read {quoted(text)} as a place to listen ({_HINT})")
    path = path.removeprefix("//")
    if path in ("", "@"):
        raise ValueError(f"cannot read {quoted(text)} as a place to listen: it has no path")
    return Listening(Transport(word), path=path)


def _inet(text: str) -> Listening:
    match = _INET.fullmatch(text)
    if match is None:
        raise ValueError(f"cannot read {quoted(text)} as a place to listen ({_HINT})")
    word, host, port = match.groups()
    if not 0 < int(port) < 65536:
        raise ValueError(f"cannot use {port} as a port (they go from 1 to 65535)")
    return Listening(Transport(word), _host(host), int(port))


def _host(text: str) -> str:
    if not text:
        return ""
    bare = text.strip("[]")
    try:
        return str(IPv6Address(bare) if text[0] == "[" else IPv4Address(bare))
    except AddressValueError:
        pass
    hint = "127.0.0.1 or [::1]" if bare == "localhost" else "an address, or nothing for all of them"
    raise ValueError(f"cannot listen at {quoted(text)} (write {hint})")
