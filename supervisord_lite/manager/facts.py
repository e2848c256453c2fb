"""The keeper's facts as events of the core."""

import os

from supervisord_lite.core.event import Emptied, KeeperFact, MainExited, Spawned, SpawnFailed
from supervisord_lite.core.state import Exit
from supervisord_lite.keeper.protocol import Packet


def to_event(fact: Packet) -> KeeperFact | None:
    """The event that a packet of the keeper stands for; None if it is about no run."""
    who = (fact.get("instance", ""), fact.get("run", 0))
    match fact.get("tell"):
        case "spawned":
            return Spawned(*who, pid=fact["pid"])
        case "failed":
            return SpawnFailed(
                *who, stage=fact["stage"], errno=fact["errno"], message=fact["message"]
            )
        case "exited":
            return MainExited(*who, exit=to_exit(fact["status"]), emptied=fact["emptied"])
        case "emptied":
            return Emptied(*who)
        case _:
            return None


def to_exit(status: int | None) -> Exit:
    """What a wait status says; see wait(2)."""
    if status is None:
        return Exit()
    if os.WIFSIGNALED(status):
        return Exit(signal=os.WTERMSIG(status), core_dumped=os.WCOREDUMP(status))
    return Exit(code=os.waitstatus_to_exitcode(status))
