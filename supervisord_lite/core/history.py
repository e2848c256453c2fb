"""The history of a job: its last runs, the present one among them. All else has none."""

from supervisord_lite.core.moment import Moment
from supervisord_lite.core.spec import Kind
from supervisord_lite.core.state import Exit, Instance, JobRun
from supervisord_lite.core.values import replace

KEPT = 20  # runs


def began(instance: Instance, run: int, at: Moment, why: str) -> Instance:
    """A run has begun."""
    if instance.spec.kind is not Kind.JOB:
        return instance
    history = (*instance.history, JobRun(run, at.wall, why))[-KEPT:]
    return replace(instance, history=history)


def over(instance: Instance, run: int, seconds: float, status: Exit | None) -> Instance:
    """A run is over; None: it never came to be."""
    if not instance.history or instance.history[-1].run != run:
        return instance
    last = replace(instance.history[-1], seconds=max(0.0, seconds), exit=status)
    return replace(instance, history=(*instance.history[:-1], last))
