"""What the end of a critical instance means: to whoever started the daemon, and to all others."""

from supervisord_lite.core import reason
from supervisord_lite.core.command import Command, Note, Remember
from supervisord_lite.core.event import RestartRequested
from supervisord_lite.core.restart import delay, window
from supervisord_lite.core.roster import Roster
from supervisord_lite.core.spec import OnExit, RestartLimit
from supervisord_lite.core.state import Blocked, Exited, Fatal, Instance

RECENTLY = 60.0  # seconds: longer than the pause before everything is restarted again
GAVE_UP = 70  # the exit code for one that never had one (sysexits.h: EX_SOFTWARE)


def ending(instance: Instance) -> str:
    state = instance.state
    if isinstance(state, Blocked):
        return state.reason
    return reason.exited(state.exit) if isinstance(state, Exited) else instance.problem or "FATAL"


def exit_code(instance: Instance) -> int:
    """What the daemon is to exit with: as the instance did, a signal as shells show it."""
    status = instance.last_exit
    if status is not None and status.signal is not None:
        return 128 + status.signal
    if status is not None and status.code is not None:
        given_up = isinstance(instance.state, Fatal | Blocked)
        return GAVE_UP if given_up and status.code == 0 else status.code
    return GAVE_UP


def place_of(instance: Instance, commands: list[Command]) -> int:
    """Where among the commands the instance is remembered as it has ended."""
    places = (
        place
        for place, command in enumerate(commands)
        if isinstance(command, Remember) and command.value is instance
    )
    return next(places)


class RestartAll:
    """Restarting everything because a critical instance has ended, at the pace of its own restart
    policy: so many times within the window of its limit, and each time later than the last. What
    is `pending`, by instance and time, dies with the manager; the next one finds the instance
    ended, and asks again.
    """

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._times: dict[str, tuple[float, ...]] = {}
        self.pending: dict[str, float] = {}

    def ended(self, instance: Instance, now: float, out: list[Command]) -> None:
        """It has ended for good. Everything is restarted now, later, or no more."""
        name, policy = instance.spec.name, instance.spec.restart
        limit = policy.limit or RestartLimit()
        known = window(self._times.get(name, ()), limit, now)
        if policy.limit is not None and len(known) > limit.count:
            text = reason.no_more_restarts(name, len(known) - 1, limit)
            out.append(Note(text, problem=True))
            return
        self._times[name] = known
        earlier = len(known) - 1
        after = delay(policy, name, instance.last_run, earlier - 1) if earlier else 0.0
        self.pending[name] = now + after
        self.ring(now, out)

    def ring(self, now: float, out: list[Command]) -> None:
        """Restart everything for those whose time has come, if they are still down."""
        for name in [name for name, at in self.pending.items() if at <= now]:
            del self.pending[name]
            instance = self._roster.instances.get(name)
            if instance is not None and restarts_all(instance):
                self._restart(instance, now, out)

    def _restart(self, instance: Instance, now: float, out: list[Command]) -> None:
        why = reason.critical(instance.spec.name, ending(instance))
        known = self._roster.instances
        names = [name for name, one in known.items() if one.wanted and not one.retiring]
        event = RestartRequested(tuple(names), why)
        self._roster.take_down(dict.fromkeys(names, event), names, now, out)
        # Last of all, so that a recovery finds by it that this is not done yet.
        self._roster.advance_each((instance.spec.name,), event, now, out)


def restarts_all(instance: Instance) -> bool:
    """Whether its end is to restart everything, and has not done so yet: then it would be up."""
    ended = isinstance(instance.state, Exited | Fatal)
    return ended and instance.spec.on_exit is OnExit.RESTART_ALL


def has_just_ended(instance: Instance, now: float) -> bool:
    """The same for a manager that has just begun: what ended long ago was dealt with, or was not
    critical then.
    """
    state = instance.state
    recently = isinstance(state, Exited | Fatal) and now - state.at <= RECENTLY
    return recently and restarts_all(instance)
