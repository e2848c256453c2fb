"""The keeper's facts as events of the core."""

import os

from supervisord_lite.core.event import Emptied, KeeperFact, MainExited, Spawned, SpawnFailed
from supervisord_lite.core.state import Exit
from supervisord_lite.keeper.protocol import Packet


def to_event(fact: Packet) -> KeeperFact | None:
    """The event that a packet of the keeper stands for; None if it is about no run. A run that has
    another main process now is told of as if it had been spawned with that.
    """
    who = (fact.get("instance", ""), fact.get("run", 0))
    match fact.get("tell"):
        case "spawned" | "main":
            return Spawned(*who, pid=fact["pid"], since=fact.get("since"))
        case "failed":
            return SpawnFailed(
                *who,
                stage=fact["stage"],
                errno=fact["errno"],
                message=fact["message"],
                at=fact.get("at"),
            )
        case "exited":
            status = to_exit(fact["status"])
            return MainExited(*who, exit=status, emptied=fact["emptied"], at=fact.get("at"))
        case "emptied":
            return Emptied(*who, at=fact.get("at"))
        case _:
            return None


def to_exit(status: int | None) -> Exit:
    """What a wait status says; see wait(2)."""
    if status is None:
        return Exit()
    if os.WIFSIGNALED(status):
        return Exit(signal=os.WTERMSIG(status), core_dumped=os.WCOREDUMP(status))
    return Exit(code=os.waitstatus_to_exitcode(status))
