"""Every prefix of what a manager orders is a legal state: it is killed after each of them, in turn.

A module that Python imports by itself (sitecustomize) kills the manager, with SIGKILL, right after
it has sent its n-th order. Whatever n is, the next manager must bring the same fleet up: every
worker started once, every hook run once.
"""

import os
import textwrap
from collections import Counter
from typing import Any

import pytest

import supervisord_lite
from tests.daemon.conftest import Daemon

PACKAGE = os.path.dirname(os.path.dirname(supervisord_lite.__file__))
SOAK = bool(os.environ.get("SOAK"))
# Some 25 orders bring this fleet up.
MOMENTS = range(1, 23) if SOAK else (1, 2, 3, 5, 8, 11, 13, 15, 17, 19, 22)

KILLER = """
import os, sys
_after, _done = int(os.environ.get("KILL_AFTER", "0")), os.environ.get("KILLED", "")
if _after and sys.orig_argv[-1:] == ["manager"] and not os.path.exists(_done):
    import importlib.util
    class Finder:
        def find_spec(self, name, path, target=None):
            if name != "supervisord_lite.manager.keeper_link":
                return None
            sys.meta_path.remove(self)
            spec = importlib.util.find_spec(name)
            load = spec.loader.exec_module
            def changed(module):
                load(module)
                send, sent = module.KeeperLink.order, []
                def order(self, orders, descriptors=()):
                    send(self, orders, descriptors)
                    sent.append(1)
                    if len(sent) == _after:
                        open(_done, "w").close()
                        os.kill(os.getpid(), 9)
                module.KeeperLink.order = order
            spec.loader.exec_module = changed
            return spec
    sys.meta_path.insert(0, Finder())
"""

NOTIFY = """
import os, socket
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
    one.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
"""
WANTED = {
    "db:0": "RUNNING",
    "notifier:0": "RUNNING",
    "talker:0": "RUNNING",
    "asked:0": "RUNNING",
    "task:0": "EXITED",
}
ONCE = Counter(["db", "notifier", "talker", "asked", "task", "pre", "post", "after"])


def workers(daemon: Daemon) -> dict[str, Any]:
    notify = daemon.directory / "notify.py"
    notify.write_text(NOTIFY)

    def note(what: str) -> str:
        return f"echo {what} >> {daemon.directory}/events"

    def says(what: str, then: str) -> list[str]:
        return ["sh", "-c", f"{note(what)}; {then}"]

    forever = "exec sleep 100000"
    return {
        "db": {
            "command": says("db", f"echo >&3; {forever}"),
            "ready": {"fd": 3},
            "hooks": {
                "pre_start": f"sh -c '{note('pre')}'",
                "post_start": f"sh -c '{note('post')}'",
            },
        },
        "notifier": {
            "command": says("notifier", f"python3 -S {notify}; {forever}"),
            "ready": {"notify": "systemd"},
            "depends_on": ["db"],
        },
        "talker": {
            "command": says("talker", f"echo I am ready; {forever}"),
            "ready": {"log": "am ready"},
            "depends_on": ["db"],
        },
        "asked": {
            "command": says("asked", forever),
            "ready": {"exec": "true"},
            "depends_on": {"task": "succeeded"},
        },
        "task": {
            "command": says("task", "exit 0"),
            "type": "task",
            "depends_on": ["db"],
            "hooks": {"post_stop": f"sh -c '{note('after')}'"},
        },
    }


@pytest.mark.parametrize("moment", MOMENTS)
def test_death_after_an_order(daemon: Daemon, moment: int) -> None:
    """The fleet comes up as if nothing had been, and nothing has run twice."""
    (daemon.directory / "sitecustomize.py").write_text(textwrap.dedent(KILLER))
    killed = daemon.directory / "killed"
    daemon.run(
        workers(daemon),
        variables={
            "PYTHONPATH": f"{daemon.directory}:{PACKAGE}",
            "KILL_AFTER": str(moment),
            "KILLED": str(killed),
        },
    )
    events = daemon.directory / "events"
    daemon.until(lambda: {row["name"]: row["state"] for row in daemon.client.workers()} == WANTED)
    daemon.until(lambda: Counter(events.read_text().split()) == ONCE)
    assert killed.exists()
