"""Whom a worker runs as."""

import grp
import os
import pwd
from collections.abc import Callable

import pytest

from supervisord_lite.config.compiler import Compiled
from supervisord_lite.config.document import Mapping
from supervisord_lite.config.errors import Mark, Problems
from supervisord_lite.config.identity import Identities
from supervisord_lite.config.place import Place
from supervisord_lite.core.spec import Identity

ROOT = pwd.getpwuid(0)
OTHER = next(account for account in pwd.getpwall() if account.pw_uid != 0)


def resolve(
    user: str | None, group: str | None = None, *, uid: int = 0, gid: int = 0
) -> tuple[Identity | None, tuple[str, ...]]:
    """The identity for a daemon that runs as `uid`, and what is wrong with it."""
    problems = Problems()
    place = Place(Mapping(Mark("t.yaml", 1, 1)), ("workers", "a"), problems)
    return Identities(uid, gid).resolve(user, group, place), problems.lines()


def test_a_user_is_resolved_with_all_its_groups() -> None:
    """The ids, the groups of initgroups(3), and what HOME and SHELL will be."""
    identity, problems = resolve(OTHER.pw_name)
    assert problems == ()
    assert identity == Identity(
        uid=OTHER.pw_uid,
        gid=OTHER.pw_gid,
        groups=tuple(os.getgrouplist(OTHER.pw_name, OTHER.pw_gid)),
        name=OTHER.pw_name,
        home=OTHER.pw_dir,
        shell=OTHER.pw_shell,
    )


def test_an_id_stands_for_the_user_that_has_it() -> None:
    """A number is an id where no user has it as a name."""
    identity, _ = resolve(str(OTHER.pw_uid))
    assert identity is not None
    assert identity.name == OTHER.pw_name


def test_a_group_replaces_the_users_own() -> None:
    """`group` decides the gid, by name or by id."""
    group = next(entry for entry in grp.getgrall() if entry.gr_gid != OTHER.pw_gid)
    by_name, _ = resolve(OTHER.pw_name, group.gr_name)
    by_id, _ = resolve(OTHER.pw_name, str(group.gr_gid))
    assert by_name == by_id
    assert by_name is not None
    assert by_name.gid == group.gr_gid


@pytest.mark.parametrize(
    "user", ["0day", "", "-1", "4294967295", "99999999999999999999", "00000000001", "no:user"]
)
def test_an_unknown_user_is_refused(user: str) -> None:
    """What cannot be found is never taken for somebody else, least of all for root."""
    identity, problems = resolve(user)
    assert identity is None
    assert "workers.a.user: cannot find a user with the name or id" in problems[0]


def test_an_unknown_group_is_refused() -> None:
    """A group that does not exist is a mistake of the group's key."""
    _, problems = resolve(OTHER.pw_name, "no-such-group")
    assert "workers.a.group: cannot find a group with the name or id" in problems[0]


def test_only_root_may_name_another_user() -> None:
    """A daemon without the right to become somebody says so before it tries."""
    _, problems = resolve("root", uid=OTHER.pw_uid, gid=OTHER.pw_gid)
    assert 'workers.a.user: cannot run as "root": the daemon is not root' in problems[0]


def test_only_root_may_name_another_group() -> None:
    """The same holds for a group."""
    group = grp.getgrgid(0).gr_name
    _, problems = resolve(None, group, uid=OTHER.pw_uid, gid=OTHER.pw_gid + 1)
    assert "workers.a.group: cannot run as group" in problems[0]


def test_the_daemons_own_user_needs_no_change() -> None:
    """Without the right to change ids, the daemon's own user is run as it is."""
    assert resolve(OTHER.pw_name, uid=OTHER.pw_uid, gid=OTHER.pw_gid) == (None, ())


def test_a_worker_without_user_runs_as_the_daemon(compiled: Callable[..., Compiled]) -> None:
    """No identity is invented where none was asked for."""
    (spec,) = compiled("workers: {a: {command: a}}").configuration.instances
    assert spec.program.identity is None
