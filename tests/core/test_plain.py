import json
import time
from dataclasses import dataclass, replace
from enum import StrEnum

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisord_lite.core.log import Log
from supervisord_lite.core.plain import from_plain, to_plain
from supervisord_lite.core.spec import InstanceSpec, Program, ResourceLimit, Rung, Target
from supervisord_lite.core.state import (
    Backoff,
    Exit,
    Exited,
    Fatal,
    Instance,
    Running,
    Shutdown,
    Starting,
    State,
    Stopped,
    Stopping,
    Waiting,
)

SPEC = InstanceSpec("web:0", "web", 0, Program(("serve", "-p"), "/srv"), stdout_log=Log("/x.log"))
RUNGS = (Rung(15, Target.GROUP, 10.0), Rung(9, Target.TREE, 0.5))
STATES: list[State] = [
    Stopped(),
    Waiting("held"),
    Starting(3, 1.5),
    Running(3, 77, 2.0, 1.0),
    Backoff(9.25, "exit code 1"),
    Stopping(3, None, RUNGS, 1, 4.0, None, 2.0, asked=True, exit=Exit(signal=9), stuck=True),
    Exited(3, Exit(0), 5.0),
    Fatal("10 failed starts", 6.0),
]


@pytest.mark.parametrize("state", STATES, ids=lambda state: type(state).__name__)
@pytest.mark.parametrize("compact", [False, True])
def test_every_state_comes_back_through_json(state: State, compact: bool) -> None:
    """What the keeper remembers is what the next manager restores."""
    instance = Instance(SPEC, state, wanted=True, last_run=3, failures=(1.0, 2.5))
    text = json.dumps(to_plain(instance, compact=compact))
    assert from_plain(Instance, json.loads(text)) == instance


@given(
    st.builds(
        InstanceSpec,
        name=st.text(),
        worker=st.text(),
        number=st.integers(),
        program=st.builds(
            Program,
            argv=st.lists(st.text()).map(tuple),
            working_dir=st.text(),
            umask=st.none() | st.integers(0, 0o777),
            environment=st.lists(st.tuples(st.text(), st.text())).map(tuple),
            limits=st.lists(
                st.builds(ResourceLimit, st.text(), st.none() | st.integers(), st.none())
            ).map(tuple),
        ),
    )
)
@settings(max_examples=60, deadline=None)
def test_any_spec_comes_back_through_json(spec: InstanceSpec) -> None:
    """Whatever texts and numbers a spec holds, reading returns an equal value."""
    for compact in (False, True):
        assert (
            from_plain(InstanceSpec, json.loads(json.dumps(to_plain(spec, compact=compact))))
            == spec
        )


def test_compact_leaves_out_defaults() -> None:
    """A record holds what is particular to the instance, nothing else."""
    assert to_plain(
        Instance(SPEC, Running(1, 7, 2.0, 1.0), wanted=True, last_run=1), compact=True
    ) == {
        "spec": {
            "name": "web:0",
            "worker": "web",
            "number": 0,
            "program": {"argv": ["serve", "-p"], "working_dir": "/srv"},
            "stdout_log": {"path": "/x.log"},
        },
        "state": {"is": "Running", "run": 1, "pid": 7, "since": 2.0, "started": 1.0},
        "wanted": True,
        "last_run": 1,
    }


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "state",
            {"is": "Running", "run": 1, "pid": "7", "since": 2},
            "cannot read state.pid: expected a whole number, found '7'",
        ),
        (
            "state",
            {"is": "Running", "run": True, "pid": 7, "since": 2},
            "cannot read state.run: expected a whole number, found True",
        ),
        (
            "state",
            {"is": "Asleep"},
            'cannot read state: expected "is" to be one of Stopped, Waiting',
        ),
        ("state", None, "cannot read state: expected an object, found null"),
        ("state", {"is": "Waiting"}, "cannot read state: missing reason"),
        ("failures", [1, "x"], "cannot read failures[1]: expected a number, found 'x'"),
        ("failures", 3, "cannot read failures: expected a list, found 3"),
        ("wanted", "yes", "cannot read wanted: expected true or false, found 'yes'"),
        ("colour", 1, "cannot read colour: there is no such key"),
    ],
)
def test_what_does_not_fit_is_refused_by_path(key: str, value: object, message: str) -> None:
    """Reading is strict, and its error names the place."""
    plain = {**to_plain(Instance(SPEC)), key: value}
    with pytest.raises(ValueError) as refused:
        from_plain(Instance, plain)
    assert str(refused.value).startswith(message)


def test_enumerations_are_strict() -> None:
    """Only the words of an enumeration are taken."""
    plain = to_plain(SPEC)
    plain["stop"][0]["to"] = "everyone"
    with pytest.raises(ValueError, match=r"cannot read stop\[0\].to: expected one of main, group"):
        from_plain(InstanceSpec, plain)


def test_keys_of_a_newer_version_may_be_ignored() -> None:
    """After a downgrade, what the newer version wrote is passed over, and only on request."""
    plain = to_plain(Instance(SPEC, Running(1, 7, 2.0, 1.0)))
    plain["mood"] = "good"
    plain["state"]["colour"] = "blue"
    assert from_plain(Instance, plain, ignore_unknown=True).state == Running(1, 7, 2.0, 1.0)
    with pytest.raises(ValueError, match="no such key"):
        from_plain(Instance, plain)


def test_a_top_level_mismatch_names_the_type() -> None:
    """Where there is no path yet, the type stands for it."""
    with pytest.raises(ValueError, match="cannot read Shutdown: expected an object, found a list"):
        from_plain(Shutdown, [])


class Size(StrEnum):
    SMALL = "small"


@dataclass(frozen=True)
class Box:
    sides: tuple[int, Size]


def test_tuples_of_fixed_length() -> None:
    """A pair is a list of two, no more and no fewer."""
    assert to_plain(Box((3, Size.SMALL))) == {"sides": [3, "small"]}
    assert from_plain(Box, {"sides": [3, "small"]}) == Box((3, Size.SMALL))
    with pytest.raises(ValueError, match="cannot read sides: expected 2 items, found 1"):
        from_plain(Box, {"sides": [3]})


@dataclass(frozen=True)
class Odd:
    things: set[int]


def test_types_that_json_has_no_word_for_are_refused() -> None:
    """A field of an unsupported type is the programmer's error, found at the first use."""
    with pytest.raises(TypeError, match="cannot write values of type"):
        to_plain(Odd({1}))
    with pytest.raises(TypeError, match="cannot read values of type"):
        from_plain(Odd, {"things": [1]})


def test_a_thousand_records_are_read_fast() -> None:
    """Boot with a thousand instances is not slowed by their records."""
    plains = [
        to_plain(Instance(replace(SPEC, name=f"w:{n}"), Running(1, n, 1.0, 1.0)), compact=True)
        for n in range(1000)
    ]
    began = time.process_time()
    restored = [from_plain(Instance, plain) for plain in plains]
    assert len(restored) == 1000
    assert time.process_time() - began < 0.5


def test_what_instances_have_in_common_is_one_value() -> None:
    """It takes its memory once, and to compare it takes no time."""
    plains = [to_plain(replace(SPEC, name=f"web:{n}", number=n), compact=True) for n in range(3)]
    first, *others = (from_plain(InstanceSpec, plain) for plain in plains)
    assert all(other.program is first.program for other in others)
    other = replace(SPEC, program=Program(("other",), "/srv"))
    assert from_plain(InstanceSpec, to_plain(other)).program == other.program
