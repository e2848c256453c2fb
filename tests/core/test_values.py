"""Values that are quick to make, and still values."""

import copy
import pickle
from dataclasses import FrozenInstanceError, dataclass, fields

import pytest

from supervisord_lite.core.state import Instance, Running, Stopping
from supervisord_lite.core.values import quick, replace

from .make import LADDER, RUNNING, instance


@quick
@dataclass(frozen=True, slots=True)
class Point:
    """Whose fields bear the names that are used to make it."""

    value: int
    fresh: int
    kind: str = "plain"
    names: tuple[str, ...] = ()


def test_it_is_made_like_any_dataclass() -> None:
    """By position or by name, with its defaults; equal values are equal, and hash alike."""
    assert Point(1, fresh=2) == Point(1, 2, "plain", ())
    assert hash(Point(1, 2)) == hash(Point(1, 2))
    assert repr(Point(1, 2)) == "Point(value=1, fresh=2, kind='plain', names=())"
    assert [one.name for one in fields(Point)] == ["value", "fresh", "kind", "names"]


def test_it_is_frozen() -> None:
    """Neither what was made nor what was replaced can be changed."""
    for one in (Point(1, 2), replace(Point(1, 2), value=3)):
        with pytest.raises(FrozenInstanceError):
            one.value = 4  # type: ignore[misc]


def test_what_is_missing_or_too_much_is_an_error() -> None:
    """As with any call."""
    with pytest.raises(TypeError):
        Point(1)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Point(1, 2, "plain", (), 5)  # type: ignore[call-arg]


def test_a_copy_differs_in_what_is_replaced() -> None:
    """And is of the same class; the value itself stays as it was."""
    one = instance(RUNNING)
    other = replace(one, wanted=False, attempts=3)
    assert type(other) is Instance
    assert (other.wanted, other.attempts, other.state) == (False, 3, RUNNING)
    assert (one.wanted, one.attempts) == (True, 0)


def test_only_fields_can_be_replaced() -> None:
    """A name that is none is an error, not a value that is ignored."""
    with pytest.raises((TypeError, AttributeError)):
        replace(RUNNING, colour="red")  # type: ignore[call-arg]


def test_values_of_other_classes_are_replaced_too() -> None:
    """Nobody has to know which are the quick ones."""
    assert replace(LADDER[0], wait=9.0).wait == 9.0


@pytest.mark.parametrize("one", [RUNNING, Stopping(1, None, LADDER, 0, 1.0, None, 1.0, asked=True)])
def test_it_can_be_copied_and_pickled(one: Running | Stopping) -> None:
    """As every dataclass can."""
    assert copy.deepcopy(one) == one
    assert pickle.loads(pickle.dumps(one)) == one
