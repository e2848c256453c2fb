"""What a data plane notices where the kernel has no inotify instance left.

blind_process.py direct|tap DIRECTORY
"""

import sys
import threading
from contextlib import closing
from pathlib import Path

from supervisord_lite.core.log import Log
from supervisord_lite.logs.event import Noticed
from tests.logs.conftest import Rig
from tests.logs.test_tap import opened


def direct(rig: Rig) -> None:
    """A file that its worker writes is looked at, and the lane goes on with other logs."""
    path = rig.directory / "direct.log"
    path.write_bytes(b"")
    log = rig.log("other")
    rig.plane.attach("web", None, Log(str(path), direct=True))
    woken = threading.Event()
    cancel = rig.plane.watch("web", woken.set)
    rig.flush()
    woken.clear()
    path.write_bytes(b"hello\n")
    assert woken.wait(20)
    cancel()
    rig.write(b"x\n", "other")
    rig.flush()
    assert rig.contents(log) == b"x\n"


def tap(rig: Rig) -> None:
    """A reader is noticed, and is fed; a tap that nobody looks at any more can be left."""
    path = str(rig.directory / "web.fifo")
    rig.log(tap=path)
    rig.flush()
    with closing(opened(rig, path)) as reader:
        rig.write(b"hello\n")
        rig.eventually(lambda: reader.read() == b"hello\n")
    assert not rig.told(Noticed)
    rig.plane.detach("web")


def main() -> None:
    with closing(Rig(Path(sys.argv[2]))) as rig:
        {"direct": direct, "tap": tap}[sys.argv[1]](rig)


if __name__ == "__main__":
    main()
