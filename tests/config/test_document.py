"""Reading one text: marks, duplicates, and the bounds that keep a hostile file cheap."""

import time

import pytest
import yaml

from supervisord_lite.config import document
from supervisord_lite.config.document import Mapping, Scalar, read_document
from supervisord_lite.config.errors import Mark, Problems


def read(text: str) -> tuple[Mapping | None, tuple[str, ...]]:
    problems = Problems()
    return read_document(text, "t.yaml", {"HOME": "/root"}, problems), problems.lines()


def test_every_value_knows_its_place() -> None:
    """Lines and columns count from 1, and a key's place is kept beside its value's."""
    root, _ = read("a:\n  b: text\n")
    assert root is not None
    inner = root.entries["a"]
    assert isinstance(inner, Mapping)
    assert (inner.keys["b"], inner.entries["b"].mark) == (Mark("t.yaml", 2, 3), ("t.yaml", 2, 6))


def test_scalars_stay_what_was_typed() -> None:
    """Nothing is made of `no`, of a float or of an octal number; only plain nulls are nulls."""
    root, _ = read('a: no\nb: 1.10\nc: 0660\nd: ~\ne: "~"\nf:\n')
    assert root is not None
    scalars = [node for node in root.entries.values() if isinstance(node, Scalar)]
    assert [node.text for node in scalars] == ["no", "1.10", "0660", "~", "~", ""]
    assert [node.null for node in scalars] == [False, False, False, True, False, True]


def test_an_alias_bomb_is_refused_at_once() -> None:
    """Aliases are counted as often as they expand, without expanding them."""
    levels = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    started = time.monotonic()
    root, problems = read("\n".join(["a0: &a0 [x, x]", *levels]))
    assert (root, len(problems)) == (None, 1)
    assert "cannot hold more than 1000000 values, aliases expanded" in problems[0]
    assert time.monotonic() - started < 2


def test_a_bomb_of_merge_keys_is_refused() -> None:
    """Merge keys multiply as aliases do."""
    wide = ", ".join(f"k{n}: x" for n in range(1000))
    many = "\n".join(f"m{n}: {{<<: *wide}}" for n in range(1100))
    _, problems = read(f"wide: &wide {{{wide}}}\n{many}\n")
    assert "cannot hold more than 1000000 values" in problems[0]


@pytest.mark.parametrize("brackets", ["[", "{a: ", "- ", "? "])
def test_deep_nesting_is_refused(brackets: str) -> None:
    """Nesting ends at 64 levels, long before it could exhaust a stack."""
    _, problems = read(brackets * 100_000)
    assert "cannot nest more than 64 levels deep" in problems[0]


def test_nesting_by_aliases_is_counted() -> None:
    """A chain of anchors cannot hide how deep it is."""
    chain = [f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 100)]
    _, problems = read("\n".join(["a0: &a0 [x]", *chain]))
    assert "cannot nest more than 64 levels deep" in problems[0]


def test_duplicate_keys_are_all_found() -> None:
    """Every second mention of a key is a problem of its own and names the first."""
    _, problems = read("a: 1\nb: {c: 1, c: 2}\na: 3\n")
    assert problems == (
        't.yaml:2:11: b.c: cannot give "c" twice (it stands at t.yaml:2:5 already)',
        't.yaml:3:1: a: cannot give "a" twice (it stands at t.yaml:1:1 already)',
    )


def test_own_keys_go_before_merged_ones() -> None:
    """What a mapping says itself wins over `<<`, and an earlier source over a later one."""
    root, _ = read("x: &x {a: 1, b: 1}\ny: &y {b: 2, c: 2}\nz: {<<: [*x, *y], a: 0}\n")
    assert root is not None
    merged = root.entries["z"]
    assert isinstance(merged, Mapping)
    texts = {key: getattr(node, "text", "") for key, node in merged.entries.items()}
    assert texts == {"a": "0", "b": "1", "c": "2"}


def test_the_pure_loader_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where libyaml is missing, Python's own parser serves: same values, same marks."""
    text = 'a: &a {b: [1, "two"], c: "${HOME}"}\nd:\n  <<: *a\n  e: |\n    f\n'
    fast, _ = read(text)
    monkeypatch.setattr(document, "_LOADER", yaml.Loader)
    pure, _ = read(text)
    assert fast is not None
    assert shown(fast) == shown(pure)


def shown(node: object) -> object:
    if isinstance(node, Mapping):
        return [(key, node.keys[key], shown(value)) for key, value in node.entries.items()]
    if isinstance(node, document.Sequence):
        return [shown(item) for item in node.items]
    return (getattr(node, "text", None), getattr(node, "mark", None))


def test_an_empty_text_is_an_empty_mapping() -> None:
    """A file of comments may be laid over another."""
    root, problems = read("# nothing\n")
    assert root is not None
    assert (root.entries, problems) == ({}, ())
