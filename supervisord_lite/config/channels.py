"""The channels of the typed file to values of `core.channel`, each with all that its type needs."""

import os
import struct
from collections.abc import Mapping

from supervisord_lite.config.errors import quoted, suggestion
from supervisord_lite.config.identity import owner_of
from supervisord_lite.config.listening import Listening, listening
from supervisord_lite.config.paths import SOCKET_PATH_MAX, Claims, PathTemplate
from supervisord_lite.config.place import Place
from supervisord_lite.config.sharing import Channel as Section
from supervisord_lite.config.sharing import ChannelType, Code
from supervisord_lite.core import channel
from supervisord_lite.core.channel import Access, Channel, Kind, Transport

_KEYS: Mapping[ChannelType, tuple[str, ...]] = {
    ChannelType.PIPE: ("size",),
    ChannelType.FIFO: ("path", "mode", "owner", "size"),
    ChannelType.SOCKET: ("listen", "backlog", "reuse_port", "mode", "owner"),
    ChannelType.SOCKETPAIR: (),
    ChannelType.QUEUE: ("capacity", "size"),
    ChannelType.LOCK: (),
    ChannelType.SEMAPHORE: ("count",),
    ChannelType.VALUE: ("code", "initial", "lock"),
    ChannelType.ARRAY: ("code", "length", "initial", "lock"),
}
_REQUIRED = ("path", "listen", "count", "code", "length")  # where the type has them
_INET = (Transport.TCP, Transport.UDP)
_WITH_BACKLOG = (Transport.TCP, Transport.STREAM, Transport.SEQPACKET)


class Channels:
    """Makes the channels of a file; `place` is that of all of them."""

    def __init__(self, sections: Mapping[str, Section], place: Place, claims: Claims) -> None:
        self._sections = sections
        self._place = place
        self._claims = claims
        self._addresses: dict[tuple[Transport, str, int], tuple[str, bool]] = {}

    def all(self) -> tuple[Channel, ...]:
        """In the order of the file; what is wrong is noted and left out."""
        made = []
        for name, section in self._sections.items():
            place = self._place.within(name)
            if self._has_its_keys(section, place):
                kind = self._kind(section, place)
                if kind is not None:
                    made.append(Channel(name, kind))
        return tuple(made)

    def _has_its_keys(self, section: Section, place: Place) -> bool:
        keys = _KEYS[section.type]
        for key in section.given().keys() - {"type", *keys}:
            others = [str(kind) for kind, known in _KEYS.items() if key in known]
            article = "an" if section.type is ChannelType.ARRAY else "a"
            text = f"cannot use {key} on {article} {section.type}"
            place.within(key).refuse(f"{text} (it is a key of type {' and '.join(others)})")
        given = section.given()
        for key in _REQUIRED:
            if key in keys and key not in given:
                place.require(key)
        return all(key in given for key in _REQUIRED if key in keys)

    # ------------------------------------------------------------- the types

    def _kind(self, section: Section, place: Place) -> Kind | None:
        match section.type:
            case ChannelType.PIPE:
                return channel.Pipe(section.size)
            case ChannelType.FIFO:
                return self._fifo(section, place)
            case ChannelType.SOCKET:
                return self._socket(section, place)
            case ChannelType.SOCKETPAIR:
                return channel.SocketPair()
            case ChannelType.QUEUE:
                return channel.Queue(section.capacity, section.size)
            case ChannelType.LOCK:
                return channel.Lock()
            case ChannelType.SEMAPHORE:
                return channel.Semaphore(section.count or 1)
            case ChannelType.VALUE | ChannelType.ARRAY:
                return self._value(section, place)

    def _fifo(self, section: Section, place: Place) -> Kind:
        assert section.path is not None
        path = self._path(section.path, place.within("path"))
        mode = 0o660 if section.mode is None else section.mode
        return channel.Fifo(path, Access(mode, *self._owner(section, place)), section.size)

    def _socket(self, section: Section, place: Place) -> Kind | None:
        assert section.listen is not None
        within = place.within("listen")
        try:
            at = listening(section.listen)
        except ValueError as error:
            within.refuse(str(error))
            return None
        path = self._socket_path(at.path, within) if at.path else ""
        self._refuse_misfits(section, at, place)
        self._refuse_twin(section, at._replace(path=path), within)
        given = {
            key: value for key, value in section.given().items() if key in ("backlog", "reuse_port")
        }
        access = Access(section.mode, *self._owner(section, place))
        return channel.Socket(at.transport, at.host, at.port, path, access=access, **given)

    def _value(self, section: Section, place: Place) -> Kind:
        assert section.code is not None
        initial = section.initial or ()
        room = 1 if section.length is None else section.length
        if len(initial) > room:
            there = "one value" if section.length is None else f"{room} elements"
            place.within("initial").refuse(f"cannot hold {len(initial)} values: it has {there}")
        _refuse_unfit(initial, section.code, place.within("initial"))
        if section.lock is not None:
            self._refuse_unlocked(section.lock, place.within("lock"))
        return channel.Value(str(section.code), section.length, initial, section.lock)

    # ------------------------------------------------------------- their parts

    def _path(self, text: str, place: Place) -> str:
        template = PathTemplate.at(place, text)
        path = template.path(str(place.path[1]), 0)
        self._claims.claim(path, template)
        return path

    def _socket_path(self, text: str, place: Place) -> str:
        path = text if text[0] == "@" else self._path(text, place)
        length = len(os.fsencode(path))
        if length > SOCKET_PATH_MAX:
            text = f"cannot bind {quoted(path)}: it has {length} bytes"
            place.refuse(f"{text}, a socket's path at most {SOCKET_PATH_MAX}")
        return path

    def _owner(self, section: Section, place: Place) -> tuple[int | None, int | None]:
        if section.owner is None:
            return None, None
        try:
            return owner_of(section.owner, os.geteuid(), os.getegid(), os.getgroups())
        except ValueError as error:
            place.within("owner").refuse(str(error.args[0]))
            return None, None

    def _refuse_misfits(self, section: Section, at: Listening, place: Place) -> None:
        """Refuse what this kind of socket does not have."""
        given = section.given().keys()
        if at.transport not in _INET and "reuse_port" in given:
            place.within("reuse_port").refuse("cannot reuse the port of a socket without one")
        if at.transport not in _WITH_BACKLOG and "backlog" in given:
            text = f"cannot have a backlog: {at.transport} knows no connections"
            place.within("backlog").refuse(text)
        for key in ("mode", "owner"):
            if key in given and (not at.path or at.path[0] == "@"):
                place.within(key).refuse(f"cannot set the {key} of a socket without a path")

    def _refuse_twin(self, section: Section, at: Listening, place: Place) -> None:
        """Refuse an address that another channel has; those that have a path are claimed."""
        if at.path and at.path[0] != "@":
            return
        key = (at.transport, at.host or at.path, at.port)
        shared = bool(section.reuse_port)
        other, other_shared = self._addresses.setdefault(key, (str(place.path[1]), shared))
        if other != place.path[1] and not (shared and other_shared):
            place.refuse(
                f"cannot listen where channels.{other} does (reuse_port on both allows it)"
            )

    def _refuse_unlocked(self, name: str, place: Place) -> None:
        guard = self._sections.get(name)
        if guard is not None and guard.type is not ChannelType.LOCK:
            place.refuse(f"cannot be guarded by {name}: it is a {guard.type}, no lock")
        elif guard is None and not self._place.is_given(name):  # else it is there, but wrong
            locks = [one for one, item in self._sections.items() if item.type is ChannelType.LOCK]
            place.refuse(f"cannot find a lock named {quoted(name)}{suggestion(name, locks)}")


def _refuse_unfit(initial: tuple[float, ...], code: Code, place: Place) -> None:
    """Refuse values that their type cannot have."""
    if code in (Code.FLOAT, Code.DOUBLE):
        return
    for one in initial:
        try:
            struct.pack(_LAYOUT.get(code, code), int(one))
            fits = one == int(one)
        except (struct.error, OverflowError):
            fits = False
        if not fits:
            place.refuse(f"cannot use {one:.17g} as an initial value of code {code}")
            return


_LAYOUT = {Code.CHAR: "B", Code.WIDE_CHAR: "I"}
