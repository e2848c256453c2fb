"""Why an instance is in the state that it is in, and what would change it: for people, in words.

A pure function of a fleet's values and the time. It decides nothing and is asked by nobody but
operators; each reason for which the machine lets an instance wait has its sentence here, and a
test goes through all of them.

What waits for other instances is followed to the root: `web:0` waits for `db` to be ready, since
`db:0` is in BACKOFF, since its exit code was 1. Such further causes stand deeper.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import assert_never

from supervisord_lite.core import reason, wording
from supervisord_lite.core.bonds import goes_down
from supervisord_lite.core.brief import hook_under_way, why
from supervisord_lite.core.rollout import Progress, Rollout, Wait, judge
from supervisord_lite.core.signals import signal_name
from supervisord_lite.core.situation import Situation
from supervisord_lite.core.span import span
from supervisord_lite.core.spec import Condition, Dependency, Kind, OnFailedDependency
from supervisord_lite.core.state import (
    Backoff,
    Blocked,
    Exited,
    Fatal,
    Instance,
    Parting,
    Preparing,
    Readying,
    Running,
    Scheduled,
    Starting,
    Stopped,
    Stopping,
    Waiting,
    word,
)

_MOST_NAMED = 5  # instances of one worker that are named as causes; the others are counted


@dataclass(frozen=True, slots=True)
class Cause:
    """One sentence. `depth` 0 is about the instance itself, 1 is why that is so, and so on."""

    depth: int
    text: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why an instance is in its state, and what would change that."""

    instance: str
    state: str
    causes: tuple[Cause, ...]
    changes: tuple[str, ...]


def explain(name: str, situation: Situation) -> Explanation:
    """Explain one instance. Raises KeyError if there is none of that name."""
    instance = situation.instances[name]
    causes = (
        *_causes(instance, situation),
        *(Cause(0, text) for text in _circumstances(instance, situation)),
    )
    changes = () if situation.shutdown else tuple(_changes(instance))
    return Explanation(name, word(instance.state), causes, changes)


# --------------------------------------------------------------------------- causes


def _causes(instance: Instance, situation: Situation) -> Iterator[Cause]:
    yield Cause(0, _sentence(instance, situation))
    yield from (Cause(0, text) for text in _details(instance, situation))
    yield from _roots(instance, situation, 1, set())


def _roots(
    instance: Instance, situation: Situation, depth: int, told: set[tuple[str, Condition]]
) -> Iterator[Cause]:
    """Why those that the instance waits for are not there, down to the first cause. What has been
    `told` of a worker is not told again.
    """
    for dependency in _unmet(instance, situation):
        about = (dependency.worker, dependency.condition)
        if about in told:
            continue
        told.add(about)
        if not situation.bonds.members(dependency.worker):
            yield Cause(depth, f"there is no instance of {dependency.worker}")
        missing = situation.missing(dependency)
        for other in missing[:_MOST_NAMED]:
            text = _predicate(other, dependency.condition, situation)
            yield Cause(depth, f"{other.spec.name} {text}")
            yield from _roots(other, situation, depth + 1, told)
        if len(missing) > _MOST_NAMED:
            yield Cause(depth, f"and {len(missing) - _MOST_NAMED} more of {dependency.worker}")


def _unmet(instance: Instance, situation: Situation) -> list[Dependency]:
    """The dependencies whose conditions keep this instance from starting."""
    state = instance.state
    held = isinstance(state, Waiting) and state.reason in {reason.HELD, reason.WAITS_FOR_HOOKS}
    if held or not isinstance(state, Waiting | Blocked):
        return []
    return situation.obstacles(instance.spec)


def _predicate(instance: Instance, condition: Condition, situation: Situation) -> str:
    """What stands in a dependent's way, as what is said of this instance."""
    state = instance.state
    if isinstance(state, Running):
        if condition is Condition.HEALTHY:
            return f"is RUNNING, but its health is {state.health}"
        return "is still RUNNING"
    return _sentence(instance, situation)


def _sentence(instance: Instance, situation: Situation) -> str:
    """What is so: a sentence without its subject."""
    state, clock = instance.state, situation.clock
    match state:
        case Stopped():
            return _stopped(instance)
        case Waiting():
            return _waiting(instance, state, situation)
        case Scheduled():
            return _scheduled(instance, situation)
        case Preparing():
            return f"is being prepared for run {state.run} since {clock(state.since)}"
        case Starting():
            return f"is being started since {clock(state.since)}"
        case Readying():
            until = clock(state.deadline)
            return f"is not ready yet: it has from {clock(state.since)} until {until}"
        case Running():
            return f"is RUNNING since {clock(state.since)} with pid {state.pid}"
        case Backoff():
            return f"is in BACKOFF until {clock(state.until)} ({state.reason})"
        case Parting():
            return f"is to be stopped since {clock(state.since)}: {why(instance)}"
        case Stopping():
            return f"is going down since {clock(state.since)}"
        case Exited():
            return f"has EXITED at {clock(state.at)}: {reason.exited(state.exit)}"
        case Fatal() | Blocked():
            return f"is FATAL since {clock(state.at)}: {state.reason}"
        case _:
            assert_never(state)


def _stopped(instance: Instance) -> str:
    if instance.retiring:
        return "has left the configuration and waits for its hooks to end"
    if instance.spec.kind is Kind.JOB:
        return f"is STOPPED: {reason.SCHEDULE_OFF}"
    if not instance.last_run and not instance.spec.autostart:
        return "has not been started: its autostart is off"
    return "was stopped by hand, and stays so"


def _waiting(instance: Instance, state: Waiting, situation: Situation) -> str:
    if state.reason == reason.HELD:
        return "is held: the daemon starts nothing by itself"
    unmet = _unmet(instance, situation)
    if not unmet:
        return state.reason
    return " and ".join(reason.waits_for(dependency) for dependency in unmet)


def _scheduled(instance: Instance, situation: Situation) -> str:
    if instance.timetable is None:
        return "is WAITING, but its schedule has no further time"
    return f"{reason.SCHEDULED}: {situation.wall(instance.timetable.next)}"


# --------------------------------------------------------------------------- details


def _details(instance: Instance, situation: Situation) -> Iterator[str]:
    """Further sentences about the instance that was asked about."""
    state, spec = instance.state, instance.spec
    match state:
        case Readying() if spec.ready is not None:
            answer = situation.last_answer(spec.name)
            said = f", which said last: {answer}" if answer else ""
            yield f"it is ready upon {wording.probe(spec.ready.probe)}{said}"
        case Running():
            yield from _running(instance, state, situation)
        case Backoff():
            yield from _failures(instance, situation)
        case Parting() if not state.hook:
            yield from _dependents(instance, situation)
        case Stopping():
            yield from _ladder(state, situation)
        case Exited():
            yield f"by its restart policy, {wording.after_exit(spec.restart)}"
        case Blocked():
            yield from _unmet_in_words(instance, situation)
        case _:
            pass
    if isinstance(state, Parting | Stopping) and instance.wanted:
        yield "it is wanted: another run follows"
    if spec.schedule is not None and instance.timetable is not None:
        yield f"its schedule is {wording.schedule(spec.schedule)}; {wording.overlap(spec.schedule)}"
        if instance.timetable.queued:
            yield f"queued behind the present run: {instance.timetable.queued}"


def _running(instance: Instance, state: Running, situation: Situation) -> Iterator[str]:
    check = instance.spec.health
    if check is not None:
        answer = situation.last_answer(instance.spec.name)
        said = f", which said last: {answer}" if answer else ""
        yield f"its health is {state.health}, by {wording.probe(check.probe)}{said}"
    if instance.spec.kind is Kind.SERVICE:
        yield f"by its restart policy, {wording.after_exit(instance.spec.restart)}"


def _failures(instance: Instance, situation: Situation) -> Iterator[str]:
    """How often it has failed, and how often it may."""
    if instance.attempts:
        times = "time" if instance.attempts == 1 else "times"
        yield f"its start has failed {instance.attempts} {times} in a row"
    limit = instance.spec.restart.limit
    if limit is not None and instance.failures:
        last = situation.clock(instance.failures[-1])
        counted = f"{len(instance.failures)} of {limit.count} failed starts"
        yield f"{counted} within {span(limit.within)}, the last at {last}, before it is given up"


def _dependents(instance: Instance, situation: Situation) -> Iterator[str]:
    worker = instance.spec.worker
    for other in situation.instances.values():
        waits = any(dependency.worker == worker for dependency in other.spec.dependencies)
        if waits and goes_down(other):
            yield f"{other.spec.name}, which depends on it, {_sentence(other, situation)}"


def _ladder(state: Stopping, situation: Situation) -> Iterator[str]:
    """On which rung it stands, and what comes next."""
    if state.fault is not None:
        yield f"this was not asked for: {state.fault.why}"
    if state.pid is None and state.exit is None:
        yield "nobody can be signalled before the keeper has answered its start"
        return
    if state.exit is not None:
        yield f"its main process is gone ({reason.exited(state.exit)}), what it left is not"
    rung = state.rungs[state.rung]
    yield f"{reason.sending(rung)}: rung {state.rung + 1} of {len(state.rungs)}"
    if state.stuck or state.deadline is None:
        yield reason.cannot_end(state)
    elif state.rung + 1 < len(state.rungs):
        further = state.rungs[state.rung + 1]
        at = situation.clock(state.deadline)
        yield f"at {at} {signal_name(further.signal)} follows, to its {further.to}"


def _unmet_in_words(instance: Instance, situation: Situation) -> Iterator[str]:
    for dependency in _unmet(instance, situation):
        if dependency.policy is OnFailedDependency.FAIL:
            yield f"it {reason.waits_for(dependency)}, and gives up where that has failed for good"


# --------------------------------------------------------------------------- circumstances


def _circumstances(instance: Instance, situation: Situation) -> Iterator[str]:
    """What else bears on the instance, whatever its state."""
    for hook in instance.hooks:
        killed = ", and has been killed" if hook.killed else ""
        until = situation.clock(hook.deadline)
        yield f"{hook_under_way(hook.point)}, for run {hook.run}: it has until {until}{killed}"
    if instance.retiring and not isinstance(instance.state, Stopped):
        yield f"{reason.REMOVED}: it is forgotten once it is down"
    rollout = situation.rollouts.get(instance.spec.worker)
    if rollout is not None:
        yield from _rollout(instance, rollout, situation)
    if situation.shutdown is not None:
        because = f" ({situation.shutdown.why})" if situation.shutdown.why else ""
        until = situation.clock(situation.shutdown.deadline)
        yield f"the daemon is shutting down{because}: what is left at {until} is killed"


def _rollout(instance: Instance, rollout: Rollout, situation: Situation) -> Iterator[str]:
    if rollout.progress in {Progress.WENT_BACK, Progress.STOPPED}:
        yield f"the last roll-out of {rollout.worker} {rollout.progress}: {rollout.problem}"
    if not rollout.active:
        return
    members = situation.bonds.members(rollout.worker)
    targets = situation.declared.get(rollout.worker, {})
    policy = instance.spec.update
    problem = f" since {rollout.problem}" if rollout.problem else ""
    judgement = judge(rollout, policy, members, targets, situation.now)
    waits = _wait(judgement, situation) if isinstance(judgement, Wait) else ""
    how = wording.update(policy)
    yield f"a roll-out of {rollout.worker} ({how}) is {rollout.progress}{problem}{waits}"


def _wait(wait: Wait, situation: Situation) -> str:
    return f": it {wait.why}{f' until {situation.clock(wait.until)}' if wait.until else ''}"


# --------------------------------------------------------------------------- what would change it


def _changes(instance: Instance) -> Iterator[str]:
    """What would bring it into another state, and which command does."""
    name, state = instance.spec.name, instance.state
    match state:
        case Stopped() if instance.retiring:
            yield "it is forgotten by itself"
        case Stopped() if instance.spec.kind is Kind.JOB:
            yield f"slctl start {name} switches its schedule on, slctl run {name} runs it once"
        case Stopped() | Exited():
            yield f"slctl start {name} starts it"
        case Fatal():
            yield f"slctl start {name} starts it, and forgets the failures"
        case Blocked():
            yield "it starts by itself once its dependencies are there after all"
        case Waiting(text) if text == reason.HELD:
            yield f"slctl start {name} starts it, slctl reload lifts the hold for all"
        case Waiting():
            yield "it starts by itself once that is so"
            yield f"slctl stop {name} ends the waiting"
        case Scheduled():
            yield f"slctl run {name} runs it at once, slctl stop {name} switches its schedule off"
        case Backoff():
            yield f"slctl start {name} tries at once, slctl stop {name} gives it up"
        case Preparing() | Starting() | Readying() | Running():
            yield f"slctl stop {name} stops it, slctl restart {name} replaces its run"
        case Parting() | Stopping():
            if instance.wanted:
                yield f"slctl stop {name} keeps it down"
            elif not instance.retiring:
                yield f"slctl start {name} starts it again once it is down"
        case _:
            assert_never(state)
