"""The files that come along: each compiles as it stands."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "configs").glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.name)
def test_every_file_compiles(file: Path) -> None:
    """`check` finds nothing wrong with it, under the names of its own directory."""
    command = [sys.executable, "-c", "from supervisord_lite.cli.daemon import main; main()"]
    done = subprocess.run(
        [*command, "check", "-c", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ok: ")


def test_there_are_files() -> None:
    """The demo and the reference are among them."""
    assert {"demo.yaml", "reference.yaml"} <= {file.name for file in FILES}
