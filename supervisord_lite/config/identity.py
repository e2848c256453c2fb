"""Users and groups by name to the ids that a worker runs with.

A name that looks like a number is a name where such a user exists. What cannot be found is
refused: a worker never runs as somebody else than was asked for.
"""

import grp
import os
import pwd
from collections.abc import Collection

from supervisord_lite.config.errors import quoted, suggestion
from supervisord_lite.config.place import Place
from supervisord_lite.core.spec import Identity


class Identities:
    """Looks each user and group up once; `effective_uid` is the daemon's."""

    def __init__(self, effective_uid: int, effective_gid: int) -> None:
        self._uid = effective_uid
        self._gid = effective_gid
        self._found: dict[tuple[str | None, str | None], Identity | ValueError | None] = {}

    def resolve(self, user: str | None, group: str | None, place: Place) -> Identity | None:
        """Whom the worker at `place` runs as; None is the daemon's own user."""
        key = (user, group)
        if key not in self._found:
            try:
                self._found[key] = self._identity(user, group)
            except ValueError as error:
                self._found[key] = error
        found = self._found[key]
        if not isinstance(found, ValueError):
            return found
        place.within("group" if found.args[1:] else "user").refuse(str(found.args[0]))
        return None

    def _identity(self, user: str | None, group: str | None) -> Identity | None:
        if user is None and group is None:
            return None
        account = _account(user, self._uid)
        gid = account.pw_gid if group is None else _gid(group)
        if self._uid != 0:
            if account.pw_uid != self._uid:
                raise ValueError(f"cannot run as {quoted(account.pw_name)}: the daemon is not root")
            if group is not None and gid != self._gid:
                raise ValueError(f"cannot run as group {quoted(group)}: the daemon is not root", "")
            return None
        return Identity(
            uid=account.pw_uid,
            gid=gid,
            groups=tuple(os.getgrouplist(account.pw_name, gid)),
            name=account.pw_name,
            home=account.pw_dir,
            shell=account.pw_shell,
        )


def owner_of(
    text: str, uid: int, gid: int, groups: Collection[int]
) -> tuple[int | None, int | None]:
    """Who is to own a path: the ids of `user`, `user:group` or `:group`; None: as it is made.
    `uid`, `gid` and `groups` are the daemon's. Raises ValueError.
    """
    user, _, group = text.partition(":")
    if not user and not group:
        raise ValueError(f"cannot read {quoted(text)} as an owner (try root:adm, root or :adm)")
    owner = _account(user, uid).pw_uid if user else None
    owning = _gid(group) if group else None
    if uid != 0 and owner not in (None, uid):
        raise ValueError(f"cannot make {quoted(user)} the owner: the daemon is not root")
    if uid != 0 and owning is not None and owning not in (gid, *groups):
        raise ValueError(f"cannot make {quoted(group)} the group: the daemon is not in it")
    return owner, owning


def _account(user: str | None, own: int) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(own) if user is None else pwd.getpwnam(user)
    except KeyError:
        pass
    if user is None:
        raise ValueError(f"cannot find a user with the id {own}", "")
    if _is_id(user):
        try:
            return pwd.getpwuid(int(user))
        except KeyError:
            pass
    known = [account.pw_name for account in pwd.getpwall()]
    raise ValueError(
        f"cannot find a user with the name or id {quoted(user)}{suggestion(user, known)}"
    )


def _is_id(text: str) -> bool:
    """Whether the text is a uid or gid; the last 32-bit number means "no change" to the kernel."""
    return text.isascii() and text.isdigit() and len(text) <= 10 and int(text) < 2**32 - 1


def _gid(group: str) -> int:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        pass
    if _is_id(group):
        try:
            return grp.getgrgid(int(group)).gr_gid
        except KeyError:
            pass
    known = [entry.gr_name for entry in grp.getgrall()]
    hint = suggestion(group, known)
    raise ValueError(f"cannot find a group with the name or id {quoted(group)}{hint}", "")
