"""Whom operators mean: names, patterns, labels."""

import pytest

from supervisord_lite.core.selector import BadSelector, selector
from supervisord_lite.core.state import Instance, Stopped
from supervisord_lite.manager.naming import (
    Choice,
    UnknownNames,
    chosen,
    workers_of,
)
from tests.core.make import instance, spec

LABELS = {
    "web:0": (("tier", "front"), ("env", "prod")),
    "web:1": (("tier", "front"), ("env", "test")),
    "db:0": (("tier", "back"), ("team", "data")),
    "cron:0": (),
}
INSTANCES: dict[str, Instance] = {
    name: instance(Stopped(), spec(name, labels=labels)) for name, labels in LABELS.items()
}


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (["web"], ["web:0", "web:1"]),
        (["db:0", "web"], ["web:0", "web:1", "db:0"]),
        (["*:0"], ["web:0", "db:0", "cron:0"]),
        (["w?b", "web:0"], ["web:0", "web:1"]),
        (["all"], list(LABELS)),
    ],
)
def test_names(names: list[str], found: list[str]) -> None:
    """Workers, instances and globs, each instance once, in the fleet's order."""
    assert list(chosen(Choice(tuple(names)), INSTANCES)) == found


def test_every_unknown_name_is_told() -> None:
    """One name that matches nothing spoils the whole choice."""
    with pytest.raises(UnknownNames, match="cannot find an instance of nope, neither"):
        chosen(Choice(("web", "nope", "neither")), INSTANCES)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("tier=front", ["web:0", "web:1"]),
        ("tier=front,env=prod", ["web:0"]),
        ("tier!=front", ["db:0", "cron:0"]),
        ("team", ["db:0"]),
        (" tier = front , env != prod ", ["web:1"]),
    ],
)
def test_labels(text: str, found: list[str]) -> None:
    """All conditions have to hold; a label that is not there differs from every value."""
    assert list(chosen(Choice((), text), INSTANCES)) == found


def test_names_and_labels_narrow_each_other() -> None:
    """With both, what both mean is meant."""
    assert chosen(Choice(("*:0",), "tier=front"), INSTANCES) == ("web:0",)


def test_labels_that_nobody_has_are_an_error() -> None:
    """As a name that matches nothing is: an order for nobody is a mistake."""
    with pytest.raises(UnknownNames, match="with the labels tier=none"):
        chosen(Choice((), "tier=none"), INSTANCES)


def test_a_fleet_without_workers_has_all_of_them() -> None:
    """`all` is no mistake where there is nothing."""
    assert chosen(Choice(("all",)), {}) == ()


@pytest.mark.parametrize("text", ["", "a,,b", "=b", "!a", "a=b=c", "a!", "!=b"])
def test_what_cannot_be_read_is_said(text: str) -> None:
    """The whole selector stands in the error, and how one is written."""
    with pytest.raises(BadSelector, match="write key=value, key!=value or key"):
        selector(text)


def test_workers_of_instances() -> None:
    """Each once, in the order in which they come."""
    assert workers_of(["web:1", "db:0", "web:0"], INSTANCES) == ("web", "db")
