"""What a run is given beside its program, so that it can tell how it is."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Preparation:
    """Variables, and descriptors by number, in the words of the spawn order."""

    environment: tuple[tuple[str, str], ...] = ()
    extra: dict[str, str] = field(default_factory=dict)


NOTHING = Preparation()
