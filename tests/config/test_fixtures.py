"""A folder of files, run whole: good ones with an excerpt of the configuration that they mean, bad
ones with every line that is said about them. `@` stands for the folder.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from supervisord_lite.config.compiler import compile_files
from supervisord_lite.config.errors import Invalid
from supervisord_lite.core.plain import to_plain

FIXTURES = Path(__file__).parent / "fixtures"
GOOD = FIXTURES / "good"
BAD = FIXTURES / "bad"


def excerpt(whole: Any, pattern: Any) -> Any:
    """The part of `whole` that `pattern` speaks of: its keys; of a list, every item."""
    if isinstance(whole, dict) and isinstance(pattern, dict):
        return {key: excerpt(whole.get(key, "absent"), value) for key, value in pattern.items()}
    if isinstance(whole, list) and isinstance(pattern, list) and len(whole) == len(pattern):
        return [excerpt(one, other) for one, other in zip(whole, pattern, strict=True)]
    return whole


def expected(path: Path) -> str:
    return path.read_text().replace("@", str(path.parent))


@pytest.mark.parametrize("name", sorted(path.stem for path in GOOD.glob("*.yaml")))
def test_a_good_file_means_what_stands_beside_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each good file compiles to a configuration that contains its excerpt."""
    monkeypatch.chdir(GOOD)
    pattern = json.loads(expected(GOOD / f"{name}.json"))
    configuration = compile_files([f"{name}.yaml"], {}).configuration
    assert excerpt(to_plain(configuration), pattern) == pattern


@pytest.mark.parametrize("name", sorted(path.stem for path in BAD.glob("*.yaml")))
def test_a_bad_file_gets_every_line_that_stands_beside_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each bad file is refused with exactly these lines, sorted by their places."""
    monkeypatch.chdir(BAD)
    with pytest.raises(Invalid) as caught:
        compile_files([f"{name}.yaml"], {})
    assert list(caught.value.problems) == expected(BAD / f"{name}.errors").splitlines()


def test_every_expectation_has_its_file() -> None:
    """No excerpt and no list of errors is left over from a file that has gone."""
    expectations = [*GOOD.glob("*.json"), *BAD.glob("*.errors")]
    assert [path.name for path in expectations if not path.with_suffix(".yaml").exists()] == []
