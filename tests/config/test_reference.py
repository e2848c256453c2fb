"""The documentation, the reference file and the model speak of the same keys."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
import yaml

from supervisord_lite.config.compiler import compile_files
from supervisord_lite.config.model import File

REPOSITORY = Path(__file__).parents[2]
DOCUMENT = REPOSITORY / "docs/configuration.md"
REFERENCE = REPOSITORY / "configs/reference.yaml"


def keys_of_the_model(annotation: Any = File, path: str = "") -> Iterator[str]:
    """Every key that a file may have; `NAME` stands for names, `[]` for the items of a list."""
    if hasattr(annotation, "model_fields"):
        for name, field in annotation.model_fields.items():
            key = f"{path}.{name}" if path else name
            yield key
            if key != "defaults":  # has the keys of a worker
                yield from keys_of_the_model(field.annotation, key)
    elif get_origin(annotation) is dict:
        value = get_args(annotation)[1]
        if next(keys_of_the_model(value), None) is not None:
            yield f"{path}.NAME"
        yield from keys_of_the_model(value, f"{path}.NAME")
    else:
        marker = "[]" if get_origin(annotation) is list else ""
        for argument in get_args(annotation):
            yield from keys_of_the_model(argument, path + marker)


def keys_of_the_document() -> Iterator[str]:
    """The first cells of the tables below the headings that name a section, and those sections."""
    section: str | None = None
    for line in DOCUMENT.read_text().splitlines():
        heading = re.fullmatch(r"## (.*)", line)
        if heading:
            named = re.fullmatch("`(.*)`", heading[1])
            section = f"{named[1]}." if named else {"Keys at the top": ""}.get(heading[1])
            if named and "." in named[1]:
                yield named[1]
        row = re.match(r"\| `([^`]+)` \|", line)
        if row and section is not None:
            yield section + row[1]


def test_every_key_is_documented_and_every_documented_key_exists() -> None:
    """The tables of the documentation are the keys of the model, no more and no less."""
    documented = sorted(keys_of_the_document())
    assert documented == sorted({*keys_of_the_model(), "include", "x-…"})


def test_the_reference_file_compiles() -> None:
    """The file that shows every key is a file that loads."""
    configuration = compile_files([str(REFERENCE)], {}).configuration
    assert configuration.name == "reference"
    assert "everything:1" in [spec.name for spec in configuration.instances]


@pytest.mark.parametrize(
    "path", sorted(REFERENCE.parent.glob("*.yaml")), ids=lambda path: path.stem
)
def test_every_example_compiles(path: Path) -> None:
    """Each file that is meant to be tried is a file that loads, without any environment."""
    assert compile_files([str(path)], {}).configuration.instances


def test_the_reference_file_mentions_every_key() -> None:
    """No key is missing from the reference, be it in a comment."""
    text = REFERENCE.read_text()
    words = {re.split(r"[.\[\]]+", key)[-1] or key for key in keys_of_the_model()} - {"NAME"}
    assert [word for word in sorted(words) if not re.search(rf"\b{word}\b", text)] == []


def test_the_examples_of_the_document_compile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first example, and every other one that declares workers with commands."""
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    whole = [text for text in examples if "command:" in text and isinstance(_load(text), dict)]
    assert len(whole) == 5
    for text in whole:
        (tmp_path / "example.yaml").write_text(text)
        compile_files(["example.yaml"], {})


def _load(text: str) -> Any:
    return yaml.safe_load(text)


@pytest.mark.parametrize(
    "path", sorted(REPOSITORY.glob("docs/**/*.md")), ids=lambda path: path.stem
)
def test_rows_of_tables_are_whole(path: Path) -> None:
    """Every row has as many cells as the head of its table: a row that was torn in two says
    nothing, and its keys are there all the same.
    """
    width = 0
    for line in path.read_text().splitlines():
        cells = re.sub(r"`[^`]*`|\\\|", "", line).count("|") if line.startswith("|") else 0
        assert cells in (0, width or cells), line
        width = cells


def test_what_documents_name_is_there() -> None:
    """Rooms and modules of the program have moved before, and documents stayed behind."""
    program = REPOSITORY / "supervisord_lite"
    rooms = {path.name for path in program.iterdir() if path.is_dir()}
    named = {
        name
        for path in (REPOSITORY / "README.md", *REPOSITORY.glob("docs/**/*.md"))
        for name in re.findall(r"`([a-z_]+/[a-z_/]*(?:\.py)?)`", path.read_text())
        if name.split("/")[0] in rooms
    }
    assert "logs/capture/" in named
    assert [name for name in sorted(named) if not (program / name).exists()] == []
