"""Draws docs/states.md from the machine: every state is shown every event, and what comes out is
written down. `python -m tests.core.states_page > docs/states.md` after a change of the machine.
"""

from collections.abc import Iterator
from dataclasses import replace

from supervisord_lite.core.event import (
    AlarmRang,
    Emptied,
    HoldLifted,
    InstanceEvent,
    MainExited,
    RestartRequested,
    Spawned,
    SpawnFailed,
    SpecReplaced,
    StartRequested,
    StopRequested,
    Withdrawn,
)
from supervisord_lite.core.spec import Kind, Program, RestartLimit, RestartPolicy
from supervisord_lite.core.state import Instance, Running, Stopped, word
from supervisord_lite.core.worker import advance

from . import make

NAME = "web:0"
NOW = 150.0
LATE = 10_000.0
HASTY = RestartPolicy(limit=RestartLimit(1, 60.0))
ORDER = ["STOPPED", "WAITING", "STARTING", "RUNNING", "BACKOFF", "STOPPING", "EXITED", "FATAL"]

EVENTS: dict[str, InstanceEvent] = {
    "start requested": StartRequested((NAME,)),
    "stop requested": StopRequested((NAME,)),
    "restart requested": RestartRequested((NAME,)),
    "spawned": Spawned(NAME, 4, 77),
    "spawn failed": SpawnFailed(NAME, 4, "exec", 2, ""),
    "main exited (tree empty)": MainExited(NAME, 4, make.FAILED, emptied=True),
    "main exited (others left)": MainExited(NAME, 4, make.FAILED, emptied=False),
    "tree empty": Emptied(NAME, 4),
    "deadline": AlarmRang(),
    "program changed": SpecReplaced(make.spec(program=Program(("serve", "--fast"), "/srv"))),
    "removed": Withdrawn(),
    "hold lifted": HoldLifted(),
    "found alive": Spawned(NAME, 9, 88),
}

HEAD = """# The states of an instance

Drawn from the machine (`python -m tests.core.states_page > docs/states.md`), not by hand. What the
states mean stands in `supervisord_lite/core/state.py`, and the rules in `worker.py` beside it.

"""


def samples() -> Iterator[Instance]:
    """Instances in every state, in the variants that behave differently."""
    for state in (*make.RESTING, *make.LIVE):
        for held in (False, True):
            yield make.instance(state, held=held)
    for state in make.LIVE[2:]:
        resting = make.instance(state, wanted=False)
        yield resting
        yield replace(resting, retiring=True)
    short = Running(4, 77, NOW - 0.5, NOW - 0.5)
    yield make.instance(short)
    yield make.instance(short, make.spec(restart=HASTY))
    yield make.instance(make.STARTING, make.spec(restart=HASTY))
    yield make.instance(short, make.spec(kind=Kind.TASK, restart=RestartPolicy(success_codes=(1,))))
    yield make.instance(Stopped())


def transitions() -> dict[tuple[str, str], set[str]]:
    """(state, event) → the states that may follow, where something follows at all."""
    found: dict[tuple[str, str], set[str]] = {}
    for instance in samples():
        for name, event in EVENTS.items():
            now = LATE if name == "deadline" else NOW
            after, _ = advance(instance, event, now)
            if after is not instance:
                then = "(forgotten)" if _is_gone(after) else word(after.state)
                found.setdefault((word(instance.state), name), set()).add(then)
    return found


def _is_gone(after: Instance) -> bool:
    return after.retiring and isinstance(after.state, Stopped)


def _rank(state: str) -> int:
    return ORDER.index(state) if state in ORDER else len(ORDER)


def page() -> str:
    found = transitions()
    lines = ["| in | when | then |", "|---|---|---|"]
    edges: dict[tuple[str, str], list[str]] = {}
    for (before, event), states in sorted(
        found.items(), key=lambda item: (_rank(item[0][0]), list(EVENTS).index(item[0][1]))
    ):
        then = sorted(states, key=_rank)
        lines.append(f"| {before} | {event} | {', '.join(then)} |")
        for state in then:
            if state != before:
                edges.setdefault((before, "[*]" if state not in ORDER else state), []).append(event)
    drawn = [f"    {one} --> {two}: {' / '.join(why)}" for (one, two), why in edges.items()]
    diagram = ["```mermaid", "stateDiagram-v2", "    [*] --> STOPPED", *drawn, "```", ""]
    return HEAD + "\n".join([*diagram, *lines]) + "\n"


if __name__ == "__main__":
    print(page(), end="")
