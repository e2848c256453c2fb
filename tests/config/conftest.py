"""What the tests of the configuration share: a directory of files, compiled where it stands."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from supervisord_lite.config.compiler import Compiled, compile_files
from supervisord_lite.config.errors import Invalid

Write = Callable[..., None]
Compile = Callable[..., Compiled]
Refuse = Callable[..., tuple[str, ...]]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write files, `name=text`, into the current directory, which is the test's own."""
    monkeypatch.chdir(tmp_path)

    def write(files: Mapping[str, str]) -> None:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return write


@pytest.fixture
def compiled(write: Write) -> Compile:
    """Compile one text, as `t.yaml`, with these environment variables."""

    def compiled(text: str, **environment: str) -> Compiled:
        write({"t.yaml": text})
        return compile_files(["t.yaml"], environment)

    return compiled


@pytest.fixture
def refused(compiled: Compile) -> Refuse:
    """The problems of one text that must not compile."""

    def refused(text: str, **environment: str) -> tuple[str, ...]:
        with pytest.raises(Invalid) as caught:
            compiled(text, **environment)
        return caught.value.problems

    return refused
