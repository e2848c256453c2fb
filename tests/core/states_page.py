"""Draws docs/states.md from the machine: every state is shown every event, in all circumstances
that make a difference, and what comes out is written down.
`python -m tests.core.states_page > docs/states.md` after a change of the machine.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby
from typing import get_args

from supervisord_lite.core.event import (
    Added,
    AlarmRang,
    BecameReady,
    ClockSet,
    DependencyLost,
    Emptied,
    GateMoved,
    Hastened,
    HealthFound,
    HoldLifted,
    HookTold,
    InstanceEvent,
    MainExited,
    Recovered,
    ReloadRequested,
    RestartRequested,
    RunCondemned,
    RunRequested,
    ShutdownRequested,
    SignalRequested,
    Spawned,
    SpawnFailed,
    SpecReplaced,
    StartRequested,
    StopRequested,
    TimeExtended,
    Withdrawn,
)
from supervisord_lite.core.moment import ALONE, Around, Gate
from supervisord_lite.core.probe import HealthCheck, NotifyProbe, Readiness, TcpProbe
from supervisord_lite.core.schedule import Missed, Overlap, Schedule, Timetable
from supervisord_lite.core.spec import (
    Hook,
    HookPoint,
    Kind,
    Program,
    RestartLimit,
    RestartPolicy,
)
from supervisord_lite.core.state import (
    Blocked,
    HookRun,
    Instance,
    Parting,
    Preparing,
    Readying,
    Running,
    Scheduled,
    State,
    Stopped,
    Waiting,
    word,
)
from supervisord_lite.core.worker import advance

from . import make

NAME = "web:0"
NOW = 150.0
LATE = 10_000.0
FORGOTTEN = "(forgotten)"
ORDER = list(dict.fromkeys(state.__name__ for state in get_args(State)))

_HASTY = RestartPolicy(limit=RestartLimit(1, 60.0))
_HOOKS = tuple(Hook(point, ("hook",), 30.0) for point in HookPoint)
_HOOKED = make.spec(hooks=_HOOKS)
_READY = make.spec(ready=Readiness(NotifyProbe()))
_CHECKED = make.spec(health=HealthCheck(TcpProbe("localhost", 80)))
_REPLACING = Schedule(every=600.0, overlap=Overlap.REPLACE, missed=Missed.RUN_ONCE)
_JOB = make.spec(kind=Kind.JOB, schedule=_REPLACING)
_TABLE = Timetable(LATE, LATE)

EVENTS: dict[str, InstanceEvent] = {
    "added, to be started": Added(start=True),
    "added, to rest": Added(start=False),
    "start requested": StartRequested((NAME,)),
    "stop requested": StopRequested((NAME,)),
    "restart requested": RestartRequested((NAME,)),
    "one run requested": RunRequested((NAME,)),
    "reload requested": ReloadRequested((NAME,)),
    "signal requested": SignalRequested((NAME,), 10),
    "pre_start hook succeeded": HookTold(
        HookPoint.PRE_START, MainExited("@pre_start/web:0", 4, make.WELL, emptied=True)
    ),
    "pre_start hook failed": HookTold(
        HookPoint.PRE_START, MainExited("@pre_start/web:0", 4, make.FAILED, emptied=True)
    ),
    "spawned": Spawned(NAME, 4, 77),
    "spawn failed": SpawnFailed(NAME, 4, "exec", 2, ""),
    "became ready": BecameReady(NAME, 4),
    "found healthy": HealthFound(NAME, 4, healthy=True, detail=""),
    "found unhealthy": HealthFound(NAME, 4, healthy=False, detail="no answer"),
    "found faulty": RunCondemned(NAME, 4, "too much memory", failure=True),
    "found due for another run": RunCondemned(NAME, 4, "too old", failure=False),
    "more time asked for": TimeExtended(NAME, 4, LATE),
    "main exited (tree empty)": MainExited(NAME, 4, make.FAILED, emptied=True),
    "main exited (others left)": MainExited(NAME, 4, make.FAILED, emptied=False),
    "tree empty": Emptied(NAME, 4),
    "pre_stop hook over": HookTold(
        HookPoint.PRE_STOP, MainExited("@pre_stop/web:0", 4, make.WELL, emptied=True)
    ),
    "post_stop hook over": HookTold(
        HookPoint.POST_STOP, MainExited("@post_stop/web:0", 4, make.WELL, emptied=True)
    ),
    "what it waits for has moved": GateMoved(),
    "dependency lost": DependencyLost("db"),
    "deadline, or its time": AlarmRang(),
    "clock set": ClockSet(LATE),
    "program changed": SpecReplaced(make.spec(program=Program(("serve", "--fast"), "/srv"))),
    "other fields changed": SpecReplaced(make.spec(labels=(("tier", "web"),))),
    "removed": Withdrawn(),
    "hold lifted": HoldLifted(),
    "manager recovered": Recovered(),
    "shutdown": ShutdownRequested(),
    "shutdown hastened": Hastened(1),
    "shutdown kills": Hastened(2),
    "found alive": Spawned(NAME, 9, 88),
}

CIRCUMSTANCES: dict[str, Around] = {
    "": ALONE,
    "conditions do not hold": Around(Gate("waits for db to be ready")),
    "a condition has failed": Around(Gate("db has failed", failed=True)),
    "dependents go down first": Around(clear=False),
}

HEAD = """# The states of an instance

Drawn from the machine (`python -m tests.core.states_page > docs/states.md`), not by hand. What the
states mean stands in `supervisord_lite/core/state.py`, and the rules in `worker.py` beside it. In
capitals are the words that operators see; where a word covers several states of the machine, they
stand in its box, and in the table behind it. Kinds and policies are not told apart: all states that
may follow are named. What others in the fleet mean for an instance is, where it makes a difference.

"""


def samples() -> Iterator[Instance]:
    """Instances in every state, in the variants that behave differently."""
    for state in (*make.RESTING, *make.LIVE, Blocked("db has failed", 100.0)):
        for held in (False, True):
            yield make.instance(state, held=held)
    for one in _live():
        yield one
        unwanted = replace(one, wanted=False)
        yield unwanted
        yield replace(unwanted, retiring=True)
    yield from _hooked()
    yield from _jobs()


def _live() -> Iterator[Instance]:
    yield from map(make.instance, make.LIVE[2:])
    yield make.instance(make.STARTING, _READY)
    yield make.instance(Readying(4, 77, 100.0, 160.0), _READY)
    yield make.instance(Parting(4, 77, make.LADDER, 100.0, 90.0, asked=True))
    yield make.instance(make.RUNNING, _CHECKED)
    short = Running(4, 77, NOW - 0.5, NOW - 0.5)
    yield make.instance(short)
    yield make.instance(short, make.spec(restart=_HASTY))
    yield make.instance(make.STARTING, make.spec(restart=_HASTY))
    yield make.instance(short, make.spec(kind=Kind.TASK, restart=RestartPolicy(success_codes=(1,))))


def _hooked() -> Iterator[Instance]:
    """With hooks that will run, and with such as are under way."""

    def under_way(state: State, point: HookPoint) -> Instance:
        return make.instance(state, _HOOKED, hooks=(HookRun(point, 4, 160.0),))

    yield make.instance(Stopped(), _HOOKED)
    yield make.instance(make.RUNNING, _HOOKED)
    yield under_way(Preparing(4, 100.0), HookPoint.PRE_START)
    yield under_way(
        Parting(4, 77, make.LADDER, 100.0, 90.0, asked=True, hook=True), HookPoint.PRE_STOP
    )
    yield under_way(Waiting("waits for its hooks to end"), HookPoint.POST_STOP)
    yield replace(under_way(Stopped(), HookPoint.POST_STOP), retiring=True)


def _jobs() -> Iterator[Instance]:
    states: tuple[State, ...] = (
        Scheduled(),
        make.RUNNING,
        make.STOPPING,
        make.BACKOFF,
        make.WAITING,
        make.SWEEPING,
    )
    for state in states:
        yield make.instance(state, _JOB, timetable=_TABLE)
    yield make.instance(Stopped(), _JOB)
    yield make.instance(make.RUNNING, _JOB)
    queued = replace(_TABLE, queued=1)
    yield make.instance(make.RUNNING, _JOB, timetable=queued)


def transitions() -> dict[tuple[str, str], set[str]]:
    """(state, event) → the states that may follow, where something follows at all. Circumstances
    are named where they make a difference.
    """
    found: dict[tuple[str, str], set[str]] = {}
    for instance in samples():
        for name, event in EVENTS.items():
            if isinstance(event, Added) and not isinstance(instance.state, Stopped):
                continue
            alone = _then(instance, name, event, ALONE)
            for circumstance, around in CIRCUMSTANCES.items():
                then = _then(instance, name, event, around)
                if then is None or (circumstance and then == alone):
                    continue
                when = f"{name}, {circumstance}" if circumstance else name
                found.setdefault((type(instance.state).__name__, when), set()).add(then)
    return found


def _then(instance: Instance, name: str, event: InstanceEvent, around: Around) -> str | None:
    now = LATE if name == "deadline, or its time" else NOW
    if isinstance(event, ClockSet):
        around = replace(around, clock=replace(around.clock, offset=event.offset))
    if isinstance(event, SpecReplaced):
        event = _of_its_kind(instance, event)
    after, _ = advance(instance, event, now, around)
    if after is instance:
        return None
    gone = after.retiring and isinstance(after.state, Stopped) and not after.hooks
    return FORGOTTEN if gone else type(after.state).__name__


def _of_its_kind(instance: Instance, event: SpecReplaced) -> SpecReplaced:
    """The change, made to the spec that the instance has."""
    changed = event.spec
    return SpecReplaced(replace(instance.spec, program=changed.program, labels=changed.labels))


# --------------------------------------------------------------------------- on paper


def _rank(state: str) -> int:
    return ORDER.index(state) if state in ORDER else len(ORDER)


def _words() -> dict[str, str]:
    """The operators' word for each state of the machine."""
    return {type(one.state).__name__: word(one.state) for one in samples()}


def _boxes(words: dict[str, str]) -> Iterator[str]:
    """The words that cover several states, as boxes around them."""
    for name, group in groupby(sorted(words, key=lambda state: words[state]), words.__getitem__):
        states = sorted(group, key=_rank)
        if len(states) > 1:
            yield f"    state {name} {{"
            yield from (f"        {state}" for state in states)
            yield "    }"


def _shown(state: str, words: dict[str, str]) -> str:
    """A state in the table."""
    if state not in words or words[state] == state.upper():
        return words.get(state, state)
    return f"{words[state]} ({state})"


def page() -> str:
    found, words, causes = transitions(), _words(), list(EVENTS)
    lines = ["| in | when | then |", "|---|---|---|"]
    edges: dict[tuple[str, str], list[str]] = {}
    for (before, when), states in sorted(
        found.items(),
        key=lambda item: (_rank(item[0][0]), causes.index(_cause(item[0][1])), item[0][1]),
    ):
        then = sorted(states, key=_rank)
        shown = ", ".join(_shown(state, words) for state in then)
        lines.append(f"| {_shown(before, words)} | {when} | {shown} |")
        for state in then:
            if state != before:
                end = "[*]" if state == FORGOTTEN else state
                why = edges.setdefault((before, end), [])
                if _cause(when) not in why:
                    why.append(_cause(when))
    drawn = [f"    {one} --> {two}: {' / '.join(why)}" for (one, two), why in edges.items()]
    boxes = list(_boxes(words))
    diagram = ["```mermaid", "stateDiagram-v2", *boxes, "    [*] --> Stopped", *drawn, "```", ""]
    return HEAD + "\n".join([*diagram, *lines]) + "\n"


def _cause(when: str) -> str:
    """The event without its circumstances."""
    return next(name for name in sorted(EVENTS, key=len, reverse=True) if when.startswith(name))


if __name__ == "__main__":
    print(page(), end="")
