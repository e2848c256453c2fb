"""The directories that watches are about, by inotify, and what changes in them mean.

A walk starts at `/` and follows the globs (`globs`): every directory on the way is watched, so a
root that is renamed, removed, made again or swapped as a symbolic link is noticed by what is above
it. A directory that several watches want, or that several paths lead to, is one inotify watch.
Symbolic links are followed; a directory that was reached before in the same state of the globs is
not entered again, which ends loops.

A file counts as changed when somebody who could write it closes it, when it appears under its name
by a rename or a link, and when it goes. What is neither a file nor a link, such as a socket, never
does, except that nobody can tell what something was that is gone. Where nothing but directories is
meant, nothing tells of files that are closed: others may write a lot beside what is watched.

Touches the disk: for a thread of its own (`file_observer`).
"""

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from supervisord_lite.core.spec import Watch
from supervisord_lite.linux import inotify
from supervisord_lite.linux.inotify import Change, Inotify
from supervisord_lite.manager.files.globs import Globs, State

_APPEARED = inotify.IN_CREATE | inotify.IN_MOVED_TO
_WENT = inotify.IN_DELETE | inotify.IN_MOVED_FROM
_MASK = (
    _APPEARED
    | _WENT
    | inotify.IN_DELETE_SELF
    | inotify.IN_MOVE_SELF
    | inotify.IN_ONLYDIR
    | inotify.IN_EXCL_UNLINK
    | inotify.IN_MASK_ADD  # one inotify watch may serve several nodes
)

Notice = Callable[[str], None]


class Node:
    """A watched directory on one of the paths that lead to it. `number` is its inotify watch, or
    None where we may not read it. `aliased`: another path, which was not followed, leads here too.
    `dropped`: not part of the tree any more. `of_files`: files in it may be meant.
    """

    __slots__ = (
        "above",
        "aliased",
        "below",
        "dropped",
        "name",
        "number",
        "of_files",
        "path",
        "state",
        "tree",
    )

    def __init__(self, tree: "WatchedTree", above: "Node | None", name: str, state: State) -> None:
        self.tree = tree
        self.above = above
        self.name = name
        self.path: str = os.path.join(above.path, name) if above is not None else "/"
        self.state = state
        self.number: int | None = None
        self.below: dict[str, Node] = {}
        self.aliased = False
        self.dropped = False
        self.of_files = True


class Watches:
    """One inotify instance and the nodes that each of its watches serves."""

    def __init__(self) -> None:
        """Raises OSError where the user has too many instances."""
        self.inotify = Inotify()
        self._nodes: dict[int, list[Node]] = {}

    def add(self, node: Node) -> int:
        """Raises OSError: there is no such directory, it is not to be read, or the limit."""
        number = self._watch(node)
        self._nodes.setdefault(number, []).append(node)
        return number

    def widen(self, node: Node) -> None:
        """From now on files in it may be meant."""
        node.of_files = True
        with suppress(OSError):  # it has gone, which is told next
            self._watch(node)

    def _watch(self, node: Node) -> int:
        mask = _MASK | inotify.IN_CLOSE_WRITE if node.of_files else _MASK
        return self.inotify.watch(node.path, mask)

    def remove(self, node: Node) -> None:
        if node.number is None:
            return
        nodes = self._nodes.get(node.number, [])
        if node in nodes:
            nodes.remove(node)
            if not nodes:
                del self._nodes[node.number]
                self.inotify.unwatch(node.number)

    def of(self, change: Change) -> list[Node]:
        """Those whom a change concerns."""
        return list(self._nodes.get(change.watch, ()))

    def close(self) -> None:
        self.inotify.close()


class WatchedTree:
    """All that one watch is about. `changed` holds what has changed, in order, until it is taken.

    Raises OSError (ENOSPC) from its making, `take` and `settle` where the kernel has no more
    watches for us; it is of no use then but to be closed.
    """

    def __init__(self, watch: Watch, watches: Watches, notice: Notice) -> None:
        self.watch = watch
        self.globs = Globs(watch.paths, watch.ignore)
        self.changed: dict[str, None] = {}
        self._watches = watches
        self._notice = notice
        self._seen: dict[tuple[int, State], Node] = {}
        self._told: set[str] = set()
        self._stale = False
        self._root = Node(self, None, "/", self.globs.start)
        try:
            self._enter(self._root, None)
        except OSError:
            self.close()
            raise

    def take(self, node: Node, change: Change) -> None:
        """Something has happened in or to one of our nodes."""
        if not change.name:
            if change.ended or change.mask & inotify.IN_MOVE_SELF:
                self._renew(node)
            return
        state = self.globs.step(node.state, change.name)
        if state is not None:
            self._take_named(node, state, change)

    def settle(self) -> None:
        """After a number of changes: look again where what was dropped had other paths to it."""
        if self._stale:
            self.walk_again()

    def walk_again(self) -> None:
        """Find out anew what is to be watched, without calling any of it changed."""
        self._stale = False
        former = self._root
        self._seen = {}
        self._root = Node(self, None, "/", self.globs.start)
        self._enter(self._root, None)
        # Only now, so that nothing was unwatched in between that is still wanted.
        self._drop(former)
        self._stale = False

    def close(self) -> None:
        self._drop(self._root)

    # ---------------------------------------------------------------- changes

    def _take_named(self, node: Node, state: State, change: Change) -> None:
        path = os.path.join(node.path, change.name)
        former = node.below.get(change.name)
        if former is not None and change.mask & inotify.IN_CREATE and change.of_directory:
            return  # old news: it was listed before we read of it
        if former is not None and change.mask & (_WENT | _APPEARED):
            self._drop(former)
            if not change.of_directory or change.mask & inotify.IN_MOVED_FROM:
                self.changed[path] = None  # a link that leads elsewhere, or all that was in it
        if change.mask & _APPEARED and os.path.isdir(path):
            # What is in it by now is new, whether or not it came before our watch.
            self._enter(Node(self, node, change.name, state), self.changed)
        elif not change.of_directory and self.globs.accepts(state):
            seen_late = change.mask & _APPEARED and not node.of_files
            if seen_late:  # nobody tells what was written to it so far
                self._watches.widen(node)
            if seen_late or _matters(path, change):
                self.changed[path] = None

    def _renew(self, node: Node) -> None:
        """The watch of a node has ended, or what it watched is elsewhere: see what is there now."""
        self._drop(node)
        if node.above is not None and not node.above.dropped:
            self._enter(Node(self, node.above, node.name, node.state), self.changed)

    # ---------------------------------------------------------------- walking

    def _enter(self, node: Node, found: dict[str, None] | None) -> None:
        """Watch a directory and all below it that matters; note matching files in `found`."""
        pending = [node]
        while pending:
            node = pending.pop()
            if not self._watch(node):
                continue
            # Listed after it is watched: what is made in between is seen, perhaps twice.
            for name, state, is_directory in listed(self.globs, node.path, node.state):
                if is_directory:
                    pending.append(Node(self, node, name, state))
                elif found is not None and self.globs.accepts(state):
                    found[os.path.join(node.path, name)] = None

    def _watch(self, node: Node) -> bool:
        """Whether there is such a directory, not seen before."""
        node.of_files = _may_have_files(self.globs, node)
        try:
            node.number = self._watches.add(node)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise
            if error.errno != errno.EACCES:
                return False
            self._say_unreadable(node, error)
        else:
            first = self._seen.setdefault((node.number, node.state), node)
            if first is not node:
                first.aliased = True
                self._watches.remove(node)
                return False
        if node.above is not None:
            node.above.below[node.name] = node
        return True

    def _say_unreadable(self, node: Node, error: OSError) -> None:
        """To go on to a directory by its name we need not read the one it is in."""
        names = self.globs.names(node.state)
        passed = names is not None and not any(
            self.globs.accepts(state)
            for name in names
            if (state := self.globs.step(node.state, name)) is not None
        )
        if not passed and node.path not in self._told:
            self._told.add(node.path)
            self._notice(f"cannot watch {node.path}: {error.strerror}")

    def _drop(self, node: Node) -> None:
        if node.above is not None and node.above.below.get(node.name) is node:
            del node.above.below[node.name]
        pending = [node]
        while pending:
            node = pending.pop()
            pending += node.below.values()
            node.dropped = True
            self._watches.remove(node)
            if node.number is not None and self._seen.get((node.number, node.state)) is node:
                del self._seen[node.number, node.state]
                self._stale = self._stale or node.aliased


def listed(globs: Globs, path: str, state: State) -> Iterator[tuple[str, State, bool]]:
    """The files and directories in a directory that matter: name, state, and which it is. Where a
    link leads counts; what is neither is left out.
    """
    names = globs.names(state)
    if names is not None:
        yield from _named(globs, path, state, names)
        return
    with suppress(OSError), os.scandir(path) as entries:  # it went, or we may not read it
        for entry in entries:
            following = globs.step(state, entry.name)
            if following is not None and (entry.is_dir() or entry.is_file()):
                yield entry.name, following, entry.is_dir()


def _named(
    globs: Globs, path: str, state: State, names: Iterable[str]
) -> Iterator[tuple[str, State, bool]]:
    for name in names:
        following = globs.step(state, name)
        below = os.path.join(path, name)
        if following is not None and (os.path.isdir(below) or os.path.isfile(below)):
            yield name, following, os.path.isdir(below)


def _may_have_files(globs: Globs, node: Node) -> bool:
    """Whether a file in this directory may be meant, as far as can be seen now."""
    names = globs.names(node.state)
    if names is None:
        return True
    steps = ((name, globs.step(node.state, name)) for name in names)
    return any(
        state is not None
        and globs.accepts(state)
        and not os.path.isdir(os.path.join(node.path, name))
        for name, state in steps
    )


def _matters(path: str, change: Change) -> bool:
    """Whether a change of this path, which is no directory, is one of a file's content."""
    if change.mask & _WENT:
        return True
    try:
        status = os.lstat(path)
    except OSError:  # it has gone since, which is told next
        return True
    if stat.S_ISLNK(status.st_mode):
        return True
    if not stat.S_ISREG(status.st_mode):
        return False
    # One that was made just now is empty; whoever made it closes it when it is written.
    return not change.mask & inotify.IN_CREATE or status.st_nlink > 1
