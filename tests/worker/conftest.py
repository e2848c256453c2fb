"""Channels for workers, held as the keeper would hold them."""

from collections.abc import Iterator

import pytest

from tests.worker.made import Made


@pytest.fixture
def made() -> Iterator[Made]:
    """Closed at the end; the objects made of it have descriptors of their own."""
    made = Made()
    yield made
    made.close()
