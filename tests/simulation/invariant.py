"""What every judge does when something does not hold."""


class ViolationError(AssertionError):
    """An invariant does not hold: which one, and what it is about."""

    def __init__(self, what: str, *about: object) -> None:
        super().__init__(f"{what}: {' '.join(map(str, about))}")


def require(holds: object, what: str, *about: object) -> None:
    """Raise a violation unless the condition holds."""
    if not holds:
        raise ViolationError(what, *about)
