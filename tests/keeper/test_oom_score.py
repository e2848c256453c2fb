"""The protection against the OOM killer is the daemon's, not its workers'."""

import subprocess
from pathlib import Path

from supervisord_lite.keeper.spawner_thread import _unprotect


def test_an_inherited_score_is_reset() -> None:
    """A worker that came with another score than the default one gets the default."""
    child = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    try:
        score = Path(f"/proc/{child.pid}/oom_score_adj")
        score.write_text("500")
        _unprotect(child.pid)
        assert score.read_text() == "0\n"
    finally:
        child.communicate()
