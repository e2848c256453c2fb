from pathlib import Path
from typing import get_args

from supervisord_lite.core.event import InstanceEvent
from supervisord_lite.core.state import State

from .states_page import EVENTS, FORGOTTEN, ORDER, page, samples, transitions

PAGE = Path(__file__).parents[2] / "docs" / "states.md"


def test_the_page_is_the_machine() -> None:
    """docs/states.md is what the machine does now; draw it again after a change."""
    assert PAGE.read_text() == page()


def test_every_event_is_shown_to_every_state() -> None:
    """The page cannot fall behind: what the machine knows is what is drawn."""
    assert {type(event) for event in EVENTS.values()} == set(get_args(InstanceEvent))
    assert {type(one.state) for one in samples()} == set(get_args(State))


def test_every_state_can_be_reached_and_left() -> None:
    """No state is a trap, none is decoration."""
    found = transitions()
    left = {before for (before, _), states in found.items() if states - {before}}
    reached = {state for (before, _), states in found.items() for state in states - {before}}
    assert left == set(ORDER)
    assert reached == {*ORDER, FORGOTTEN}
