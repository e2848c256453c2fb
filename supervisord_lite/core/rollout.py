"""A roll-out: how the instances of one worker come, one after the other, to a new program.

A value, and the pure rules about it: `judge` says what is to be done next, of an instance at a time
or of the whole. It is asked again whenever an instance of the worker has changed, and when a time
has come that it named itself. The fleet does what it says (`rolling`); here nobody is signalled and
nothing is remembered.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from supervisord_lite.core import reason
from supervisord_lite.core.spec import InstanceSpec, Kind, Strategy, UpdatePolicy
from supervisord_lite.core.state import (
    Blocked,
    Exited,
    Fatal,
    Instance,
    Parting,
    Readying,
    Running,
    Stopping,
)


class Progress(StrEnum):
    """Where a roll-out is."""

    UNDER_WAY = "under way"
    GOING_BACK = "going back"  # a new run has failed; what was changed is changed back
    DONE = "done"
    WENT_BACK = "went back"
    STOPPED = "stopped"  # a new run has failed, and there was nothing to change back


@dataclass(frozen=True, slots=True)
class Rollout:
    """What is remembered of a worker's last roll-out.

    `before` are the specs that it began with, for going back and for `undo`. `runs` are the runs
    that it is to replace, by instance: an instance is *due* while its last run is not above it.
    `spare` is the name of the instance that a start-first roll-out has beside the others.
    """

    worker: str
    progress: Progress
    before: tuple[InstanceSpec, ...]
    runs: tuple[tuple[str, int], ...]
    began: float
    why: str
    spare: str | None = None
    restarts: bool = False  # whatever they run, all that are up are to have another run
    ended: float | None = None
    problem: str | None = None

    @property
    def active(self) -> bool:
        return self.progress in (Progress.UNDER_WAY, Progress.GOING_BACK)


@dataclass(frozen=True, slots=True)
class Turn:
    """These instances are to be replaced now."""

    instances: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing can be done until something changes, or until `until`; `why` in words."""

    until: float | None
    why: str


@dataclass(frozen=True, slots=True)
class Complete:
    """All is replaced."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A new run has failed."""

    problem: str


Judgement = Turn | Wait | Complete | Failed


def floor(policy: UpdatePolicy, count: int, *, beside: bool) -> int:
    """How many of `count` instances have to be RUNNING at least while one is away for the
    roll-out. `beside`: there is a spare. On the way back there is none, nor once it has ended.
    """
    match policy.strategy:
        case Strategy.RECREATE:
            return 0
        case Strategy.ROLLING:
            return max(0, count - policy.max_unavailable)
        case Strategy.START_FIRST:
            return count if beside else max(0, count - 1)


def judge(
    rollout: Rollout,
    policy: UpdatePolicy,
    members: Mapping[str, Instance],
    targets: Mapping[str, InstanceSpec],
    now: float,
) -> Judgement:
    """What is to be done next. `members` are the instances of the worker, the spare among them;
    `targets` are the specs that they are to have.
    """
    runs = dict(rollout.runs)
    due: list[Instance] = []
    done: list[Instance] = []
    for name, one in members.items():
        if name in runs:
            (due if _is_due(one, targets, runs) else done).append(one)
    if rollout.spare is not None and rollout.spare in members:
        done.append(members[rollout.spare])
    begun = [one for one in done if one.last_run > runs.get(one.spec.name, 0)]
    rest = [one for name, one in members.items() if name in targets and name not in runs]
    patient = rollout.progress is Progress.GOING_BACK or not policy.abort_on_failure
    if problem := _failure(begun, runs, patient=patient) or _gave_up(rest, rollout.began):
        return Failed(problem)
    # What is not RUNNING anyway is replaced first, and costs nothing.
    if idle := tuple(one.spec.name for one in due if not isinstance(one.state, Running)):
        return Turn(idle)
    if waits := _not_settled(rollout, done, policy, now):
        return waits
    if not due:
        return Complete()
    declared = [one for name, one in members.items() if name in targets and one.wanted]
    running = sum(isinstance(one.state, Running) for one in members.values())
    room = running - floor(policy, len(declared), beside=_has_spare(rollout, members, targets))
    if room <= 0:
        return Wait(None, "too few of its instances are RUNNING")
    return Turn(tuple(one.spec.name for one in due[:room]))


def why_not_undone(
    rollout: Rollout | None, members: Mapping[str, Instance], targets: Mapping[str, InstanceSpec]
) -> str:
    """Why there is nothing to undo, or no way to undo it; nothing if there is both."""
    if rollout is None:
        return reason.NO_ROLLOUT
    before = {spec.name: spec for spec in rollout.before}
    beside = {rollout.spare} if rollout.active else set()
    if before.keys() != members.keys() - beside:
        return reason.RESIZED
    if any(targets.get(name) != spec for name, spec in before.items()):
        return ""
    if rollout.progress is Progress.GOING_BACK:
        return reason.GOES_BACK
    return reason.WENT_BACK if rollout.progress is Progress.WENT_BACK else reason.NOTHING_CHANGED


def _has_spare(
    rollout: Rollout, members: Mapping[str, Instance], targets: Mapping[str, InstanceSpec]
) -> bool:
    """Whether an instance stands in for those that are away: one that nobody counts otherwise."""
    if rollout.spare is None or rollout.spare in targets:
        return False
    return rollout.spare in members and members[rollout.spare].wanted


def _is_due(
    instance: Instance, targets: Mapping[str, InstanceSpec], runs: Mapping[str, int]
) -> bool:
    """Whether it has yet to be touched. A start that is under way is new enough for a restart, and
    what was given up is started once more.
    """
    name, state = instance.spec.name, instance.state
    target = targets.get(name, instance.spec)
    if instance.spec is not target and instance.spec != target:
        return True
    if not instance.wanted or instance.last_run > runs[name]:
        return False
    if isinstance(state, Parting | Stopping):
        return not state.asked
    return isinstance(state, Running | Readying | Fatal)


def _failure(replaced: list[Instance], runs: Mapping[str, int], *, patient: bool) -> str | None:
    """Why a new run has failed, if one has: it did not become ready or stable, or has ended since.
    Who is `patient` minds only that it is given up.
    """
    for one in replaced:
        over = isinstance(one.state, Exited) and one.spec.kind is Kind.SERVICE
        died = one.died > runs.get(one.spec.name, 0)
        failed = (one.attempts > 0 or died) and not patient
        if failed or over or isinstance(one.state, Fatal | Blocked):
            return f"{one.spec.name}: {one.problem or 'has ended'}"
    return None


def _gave_up(rest: list[Instance], began: float) -> str | None:
    """Why one without a turn has failed, if one has been given up meanwhile. It was not up when the
    roll-out began, and so had its spec at once.
    """
    for one in rest:
        if one.wanted and isinstance(one.state, Fatal) and one.state.at >= began:
            return f"{one.spec.name}: {one.problem or 'has ended'}"
    return None


def _not_settled(
    rollout: Rollout, done: list[Instance], policy: UpdatePolicy, now: float
) -> Wait | None:
    """Whether those that were replaced have to become RUNNING first, or to be so for a while."""
    wanted = [one for one in done if one.wanted]
    away = [one.spec.name for one in wanted if not isinstance(one.state, Running)]
    at_once = policy.max_unavailable if policy.strategy is Strategy.ROLLING else 1
    if policy.strategy is Strategy.RECREATE:
        at_once = len(done) + 1
    all_touched = len(done) >= len(rollout.runs)
    if away and (len(away) >= at_once or all_touched):
        return Wait(None, f"waits for {away[0]} to be RUNNING")
    settles = max((_settles_at(one, policy.pause) for one in wanted), default=now)
    if rollout.progress is Progress.UNDER_WAY and now < settles:
        why = "pauses" if policy.pause else "waits for the last start to be stable"
        return Wait(settles, why)
    return None


def _settles_at(instance: Instance, pause: float) -> float:
    """When a new run counts: one that does not say by itself that it is ready has to be stable."""
    state = instance.state
    if not isinstance(state, Running):
        return 0.0
    if instance.spec.ready is not None:
        return state.since + pause
    return max(state.since + pause, state.started + instance.spec.restart.stable_after)
