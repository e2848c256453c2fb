from supervisord_lite.core.command import (
    Announce,
    Bury,
    Remember,
    RememberFleet,
    Signal,
    Spawn,
    packets,
)
from supervisord_lite.core.spec import Target
from supervisord_lite.core.state import Shutdown

from .make import RUNNING, STARTING, instance


def test_each_thing_remembered_opens_a_packet() -> None:
    """What explains an order travels with it; packets keep the order of the commands."""
    first, second = Remember("a", instance(STARTING)), Remember("b", instance(RUNNING))
    fleet = RememberFleet(Shutdown(60.0))
    spawn, bury = Spawn("a", 4), Bury("b", 3)
    said = Announce("a", "STOPPED", "STARTING", "")
    assert packets([fleet, first, spawn, said, second, bury]) == [
        [fleet],
        [first, spawn, said],
        [second, bury],
    ]


def test_orders_without_a_record_stand_alone() -> None:
    """A signal that changes no state is a packet, and nothing is no packet."""
    signal = Signal("a", 4, 10, Target.MAIN)
    assert packets([signal]) == [[signal]]
    assert packets([]) == []
