"""Which paths a watch means."""

import pytest

from supervisord_lite.manager.files.globs import Globs


def means(globs: Globs, path: str) -> bool:
    """Walk along a path as a directory tree is walked."""
    state = globs.start
    for name in path.strip("/").split("/"):
        following = globs.step(state, name)
        if following is None:
            return False
        state = following
    return globs.accepts(state)


@pytest.mark.parametrize(
    ("glob", "path"),
    [
        ("/srv/app", "/srv/app"),
        ("/srv/app/", "/srv/app/a/b.py"),
        ("/srv/*.py", "/srv/a.py"),
        ("/srv/*", "/srv/.env"),
        ("/srv/**", "/srv/a/b/c"),
        ("/srv/**/*.py", "/srv/a.py"),
        ("/srv/**/*.py", "/srv/a/b/c.py"),
        ("/srv/**/x/**/*.py", "/srv/a/x/b/x/c.py"),
        ("/srv/[ab]?/x", "/srv/a1/x"),
        ("/**/b/**", "/a/b/b/c"),
    ],
)
def test_a_glob_means(glob: str, path: str) -> None:
    """Files by name, directories with all below them, wildcards within and across components."""
    assert means(Globs([glob], []), path)


@pytest.mark.parametrize(
    ("glob", "path"),
    [
        ("/srv/app", "/srv/apple"),
        ("/srv/app", "/srv"),
        ("/srv/*.py", "/srv/a/b.py"),
        ("/srv/*", "/srv/a/b"),
        ("/srv/**/*.py", "/srv/a/b.pyx"),
        ("/srv/[ab]?/x", "/srv/c1/x"),
        ("/srv/a.py", "/srv/aXpy"),
    ],
)
def test_a_glob_does_not_mean(glob: str, path: str) -> None:
    """A wildcard stays within its component, and all but wildcards is taken word for word."""
    assert not means(Globs([glob], []), path)


@pytest.mark.parametrize(
    "path",
    [
        "/srv/.git/index",
        "/srv/a/__pycache__/x.pyc",
        "/srv/.app.py.swp",
        "/srv/app.py~",
        "/srv/4913",
    ],
)
def test_what_editors_and_tools_leave_is_ignored(path: str) -> None:
    """Without being asked to."""
    assert not means(Globs(["/srv"], []), path)


def test_an_ignored_name_hides_all_below_it() -> None:
    """At whatever depth the directory is."""
    globs = Globs(["/srv"], ["build*"])
    assert not means(globs, "/srv/a/build-1/b/c.py")
    assert means(globs, "/srv/a/rebuild/c.py")


def test_an_ignored_path_hides_only_that_place() -> None:
    """A glob of absolute paths, that is."""
    globs = Globs(["/srv"], ["/srv/*/cache"])
    assert not means(globs, "/srv/a/cache/x")
    assert means(globs, "/srv/cache/x")


def test_a_name_that_is_written_out_is_never_ignored() -> None:
    """Whoever names a file by its name means it."""
    assert means(Globs(["/srv/.git/HEAD", "/srv/app.log"], []), "/srv/.git/HEAD")
    assert means(Globs(["/srv/.git/HEAD", "/srv/app.log"], []), "/srv/app.log")
    assert means(Globs(["/srv/**/app.log"], []), "/srv/x/app.log")


def test_the_directories_on_the_way_are_known_by_name() -> None:
    """So that they need not be read."""
    globs = Globs(["/srv/app/*.py", "/etc/app.yaml"], [])
    assert globs.names(globs.start) == frozenset({"srv", "etc"})
    srv = globs.step(globs.start, "srv")
    assert srv is not None
    assert globs.names(srv) == frozenset({"app"})
    app = globs.step(srv, "app")
    assert app is not None
    assert globs.names(app) is None


def test_a_walk_ends_where_nothing_can_match() -> None:
    """No state, no need to look there."""
    globs = Globs(["/srv/app/*.py"], [])
    assert globs.step(globs.start, "usr") is None
