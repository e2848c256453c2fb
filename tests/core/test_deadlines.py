"""Time in a fleet: one alarm for all, and what an event costs."""

import time

from supervisord_lite.core.command import (
    Forget,
    Remember,
    Signal,
)
from supervisord_lite.core.event import (
    AlarmRang,
    Configured,
    Emptied,
    Event,
    MainExited,
    RestartRequested,
    Spawned,
    SpawnFailed,
    StartRequested,
    StopRequested,
)
from supervisord_lite.core.fleet import Fleet
from supervisord_lite.core.spec import Rung, Target
from supervisord_lite.core.state import (
    Exit,
    Instance,
    Starting,
    Stopped,
)

from .make import WELL, booted, configuration, down, orders, spec


def test_the_deadline_is_the_earliest_of_all() -> None:
    """Stops and backoffs of many instances make one alarm; none is left when all are at rest."""
    fleet = booted(*(spec(f"w:{number}") for number in range(50)))
    for number in range(50):
        fleet.step(StopRequested((f"w:{number}",)), 200.0 - number)
    assert fleet.deadline() == 154.0
    for number in range(50):
        fleet.step(MainExited(f"w:{number}", 1, WELL, emptied=True), 201.0)
    assert fleet.deadline() is None


def test_one_alarm_serves_all_that_is_due() -> None:
    """A late alarm acts on every deadline that has passed, and climbs rungs of no wait at once."""
    quick = (Rung(2, Target.MAIN, 0.0), Rung(15, Target.GROUP, 0.0), Rung(9, Target.TREE, 9.0))
    fleet = booted(spec("a:0", stop=quick), spec("b:0", stop=quick))
    fleet.step(StopRequested(("a:0", "b:0")), 110.0)
    commands = orders(fleet.step(AlarmRang(), 110.0))
    assert [one.signal for one in commands if isinstance(one, Signal)] == [15, 9, 15, 9]
    assert fleet.deadline() == 119.0


def test_old_alarms_do_not_pile_up() -> None:
    """A thousand stops and starts leave no more entries than there are instances, nearly."""
    fleet = booted(spec("a:0"))
    for number in range(1000):
        now = 110.0 + number
        down(fleet, "a:0", now)
        fleet.step(StartRequested(("a:0",)), now)
        fleet.step(Spawned("a:0", number + 2, 7), now)
    assert len(fleet._roster.alarms) <= 2 * len(fleet.instances) + 65


def _cost(size: int) -> float:
    """Processor time of a kill and its replacement, with the alarm looked up, in this fleet."""
    fleet = booted(*(spec(f"w:{number}") for number in range(size)))
    best = float("inf")
    for _ in range(5):
        began = time.process_time()
        for number in range(20):
            name = f"w:{number}"
            run = fleet.instances[name].last_run
            fleet.step(MainExited(name, run, Exit(signal=9), emptied=True), 1000.0)
            fleet.step(Spawned(name, run + 1, 7), 1000.0)
            fleet.deadline()
        best = min(best, time.process_time() - began)
    return best


def test_an_event_costs_the_same_in_a_large_fleet() -> None:
    """Two hundred and fifty times the instances, and a step takes as long as before."""
    assert _cost(5000) < 3 * _cost(20) + 0.001


def test_what_a_fleet_remembers_is_what_it_is() -> None:
    """Every step's records add up to the fleet."""
    fleet, records = Fleet(), dict[str, Instance]()
    events: list[Event] = [
        Configured(configuration(spec("a:0"), spec("b:0"))),
        Spawned("a:0", 1, 7),
        SpawnFailed("b:0", 1, "exec", 2, ""),
        AlarmRang(),
        RestartRequested(("a:0",)),
        MainExited("a:0", 1, WELL, emptied=False),
        Configured(configuration(spec("a:0"))),
        Emptied("a:0", 1),
    ]
    for number, event in enumerate(events):
        for command in fleet.step(event, 100.0 + number):
            if isinstance(command, Remember):
                records[command.instance] = command.value
            elif isinstance(command, Forget):
                del records[command.instance]
    assert records == dict(fleet.instances)
    assert isinstance(fleet.instances["a:0"].state, Starting | Stopped)
