"""The directories that logs and taps lie in."""

import os

_MODE = 0o750


def make_parents(path: str) -> None:
    """Make what is missing of the directories above `path`, for owner and group only."""
    directory = os.path.dirname(path)
    if os.path.isdir(directory):
        return
    make_parents(directory)
    try:
        os.mkdir(directory, _MODE)
    except FileExistsError:
        if not os.path.isdir(directory):
            raise
