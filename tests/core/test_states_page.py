from pathlib import Path

from .states_page import ORDER, page, transitions

PAGE = Path(__file__).parents[2] / "docs" / "states.md"


def test_the_page_is_the_machine() -> None:
    """docs/states.md is what the machine does now; draw it again after a change."""
    assert PAGE.read_text() == page()


def test_every_state_can_be_reached_and_left() -> None:
    """No state is a trap, none is decoration."""
    found = transitions()
    left = {before for before, _ in found}
    reached = {state for (before, _), states in found.items() for state in states - {before}}
    assert left == set(ORDER)
    assert reached == {*ORDER, "(forgotten)"}
