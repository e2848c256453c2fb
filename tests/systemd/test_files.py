"""What is installed beside the unit, and the unit as `systemd-analyze verify` reads it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import DEADLINE
from tests.systemd.conftest import FILES, UNIT, Machine


def applied(root: Path, tool: str, *arguments: str) -> None:
    """Run one of systemd's tools on a system below `root`."""
    if os.geteuid() != 0 or shutil.which(tool) is None:
        pytest.skip(f"needs root and {tool}")
    subprocess.run([tool, f"--root={root}", *arguments], timeout=DEADLINE, check=True)


def test_the_unit_verifies(machine: Machine) -> None:
    """`systemd-analyze verify` has nothing to say."""
    done = machine.run("systemd-analyze", "verify", "--man=no", f"{machine.stage}/units/{UNIT}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_account_and_directories_are_made(tmp_path: Path) -> None:
    """sysusers.d makes an account without a login, tmpfiles.d the directories, private to root."""
    (tmp_path / "etc").mkdir()
    applied(tmp_path, "systemd-sysusers", str(FILES / "sysusers.d" / "supervisord-lite.conf"))
    account = (tmp_path / "etc" / "passwd").read_text().strip().split(":")
    assert (account[0], account[-1]) == ("supervisord-lite", "/usr/sbin/nologin")
    tmpfiles = str(FILES / "tmpfiles.d" / "supervisord-lite.conf")
    applied(tmp_path, "systemd-tmpfiles", "--create", tmpfiles)
    runtime = (tmp_path / "run" / "supervisord-lite").stat()
    assert (runtime.st_uid, runtime.st_mode & 0o777) == (0, 0o700)
    home = (tmp_path / "var" / "lib" / "supervisord-lite").stat()
    assert home.st_uid == int(account[2])
