"""`max_memory`, `max_cpu`, `max_age`: which rules a run breaks, and what follows from it.

Told of every instance whenever it changes (`follow`). Only RUNNING ones with rules are measured,
all of them at once every five seconds (`usage`); while there are none, there is no timer. Age is
not measured but has a deadline.

- Memory must be above its limit twice in a row: right after a fork a tree seems to have double.
- CPU is averaged over the whole window of the rule, so nothing is said before that has passed.
- A rule that is broken stays so until its resource is down to 90 % of the limit.
- Runs of a maximum age that leads to a restart end up to 10 % earlier, each by a share that depends
  on its name and number, so that what was started together does not end together.
- A rule restarts an instance only while fewer than the `max_unavailable` of its worker's update
  policy are on their way, for whatever reason; else it waits until they are RUNNING or at rest.
"""

import asyncio
import zlib
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from supervisord_lite.core.event import Event, RunCondemned
from supervisord_lite.core.span import span
from supervisord_lite.core.spec import OnBroken, Resource, ResourceRule
from supervisord_lite.core.state import (
    Backoff,
    Instance,
    Parting,
    Preparing,
    Readying,
    Running,
    Starting,
    Stopping,
)
from supervisord_lite.manager.usage import Meter, Root, Sample

INTERVAL = 5.0
_TWICE = 2  # samples in a row
_EASED = 0.9  # the share of a limit at which a rule is kept again
_SPREAD = 0.1  # the share of a maximum age by which ends are spread
_UNDER_WAY = Preparing | Starting | Readying | Backoff | Parting | Stopping


class _Followed:
    """One run, measured."""

    def __init__(self, instance: Instance, state: Running, samples: deque[Sample]) -> None:
        self.root = Root(instance.spec.name, state.run, state.pid)
        self.worker = instance.spec.worker
        self.rules = instance.spec.rules
        self.samples = samples
        self.age_timers: list[asyncio.TimerHandle] = []
        self.condemned = False
        self._broken: dict[ResourceRule, str] = {}
        self._above: dict[ResourceRule, int] = {}

    @property
    def is_measured(self) -> bool:
        return any(rule.resource is not Resource.AGE for rule in self.rules)

    @property
    def verdict(self) -> str | None:
        """Why the run is to be replaced."""
        restarting = (t for rule, t in self._broken.items() if rule.action is OnBroken.RESTART)
        return next(restarting, None)

    @property
    def breaches(self) -> list[str]:
        return list(self._broken.values())

    def take(self, sample: Sample) -> list[str]:
        """A new sample; answers what there is to be reported."""
        window = max((rule.window for rule in self.rules), default=0.0)
        self.samples.append(sample)
        while len(self.samples) > 2 and self.samples[1].at <= sample.at - window:
            self.samples.popleft()
        told = [(rule, text) for rule in self.rules if (text := self._judge(rule)) is not None]
        # A restart is told of when it happens.
        return [text for rule, text in told if rule.action is OnBroken.REPORT]

    def grew_old(self, rule: ResourceRule) -> str:
        self._broken[rule] = f"age has reached max_age {span(rule.limit)}"
        return self._broken[rule]

    def used(self) -> dict[str, float]:
        """The last sample: bytes, and processors since the sample before."""
        if not self.samples:
            return {}
        share = self._share(0.0)
        return {"memory": self.samples[-1].memory} | ({} if share is None else {"cpu": share})

    def _judge(self, rule: ResourceRule) -> str | None:
        value = self._value(rule)
        if value is None:
            return None
        self._above[rule] = self._above.get(rule, 0) + 1 if value > rule.limit else 0
        text = f"{_amount(rule, value)}{{}} max_{rule.resource} {_limit(rule)}"
        if rule in self._broken and value <= rule.limit * _EASED:
            del self._broken[rule]
            return text.format(", no longer above")
        if rule in self._broken:
            self._broken[rule] = text.format(" above" if value > rule.limit else " close to")
        elif self._above[rule] >= (_TWICE if rule.resource is Resource.MEMORY else 1):
            self._broken[rule] = text.format(" above")
            return self._broken[rule]
        return None

    def _value(self, rule: ResourceRule) -> float | None:
        """What the rule is about, now; None if nobody can tell yet."""
        match rule.resource:
            case Resource.MEMORY:
                return self.samples[-1].memory
            case Resource.CPU:
                return self._share(rule.window)
            case _:
                return None

    def _share(self, window: float) -> float | None:
        """Processors in use, over the window or, if that is longer, since the last sample."""
        last = self.samples[-1]
        former = [one for one in self.samples if one is not last and one.at <= last.at - window]
        if not former:
            return None
        return (last.spent - former[-1].spent) / (last.at - former[-1].at)


class Sampler:
    """Emits `RunCondemned` by `take`, never while it is being told something; `notice` is for
    operators. `interval` is in seconds.
    """

    def __init__(
        self,
        take: Callable[[Event], None],
        notice: Callable[[str], None],
        *,
        interval: float = INTERVAL,
    ) -> None:
        self._take = take
        self._notice = notice
        self._interval = interval
        self._loop = asyncio.get_running_loop()
        self._meter = Meter()
        self._followed: dict[str, _Followed] = {}
        self._measured: set[str] = set()  # those followed that have rules about samples
        self._under_way: dict[str, set[str]] = {}  # worker → its instances that are on their way
        self._allowed: dict[str, int] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._sampling: asyncio.Future[dict[Root, Sample]] | None = None

    def follow(self, instance: Instance) -> None:
        """The instance is like this now."""
        spec, state = instance.spec, instance.state
        if not spec.rules:
            self.forget(spec.name)
            return
        self._allowed[spec.worker] = max(1, spec.update.max_unavailable)
        if isinstance(state, _UNDER_WAY) and instance.wanted:
            self._under_way.setdefault(spec.worker, set()).add(spec.name)
        else:
            self._arrived(spec.worker, spec.name)
        if isinstance(state, Running):
            self._measure(instance, state)
        else:
            self._unfollow(spec.name)

    def forget(self, name: str) -> None:
        """The instance is no more, or has no rules."""
        self._unfollow(name)
        for worker in [one for one, names in self._under_way.items() if name in names]:
            self._arrived(worker, name)

    def usage(self, name: str) -> Mapping[str, float]:
        """What it used when that was measured last: `memory` in bytes, and `cpu` in processors
        since the sample before. Empty while nothing is known.
        """
        followed = self._followed.get(name)
        return followed.used() if followed is not None else {}

    def breaches(self, name: str) -> Sequence[str]:
        """The rules it breaks now, in words."""
        followed = self._followed.get(name)
        return followed.breaches if followed is not None else ()

    def close(self) -> None:
        """Nothing is measured or told after that."""
        for name in list(self._followed):
            self._unfollow(name)

    # ---------------------------------------------------------------- whom to measure

    def _measure(self, instance: Instance, state: Running) -> None:
        name = instance.spec.name
        former = self._followed.get(name)
        root = Root(name, state.run, state.pid)
        same = former is not None and former.root == root
        if former is not None and same and former.rules == instance.spec.rules:
            return
        samples = former.samples if former is not None and same else deque[Sample]()
        self._unfollow(name)
        followed = self._followed[name] = _Followed(instance, state, samples)
        for rule in followed.rules:
            if rule.resource is Resource.AGE:
                at = state.started + rule.limit * (1 - _SPREAD * _share_of(rule, root))
                followed.age_timers.append(self._loop.call_at(at, self._grew_old, followed, rule))
        if followed.is_measured:
            self._measured.add(name)
            self._set_timer()

    def _unfollow(self, name: str) -> None:
        followed = self._followed.pop(name, None)
        if followed is None:
            return
        for timer in followed.age_timers:
            timer.cancel()
        self._measured.discard(name)
        if not self._measured and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # ---------------------------------------------------------------- measuring

    def _set_timer(self) -> None:
        """One timer for all, and none while a sample is being taken."""
        if self._timer is None and self._sampling is None and self._measured:
            at = (self._loop.time() // self._interval + 1) * self._interval
            self._timer = self._loop.call_at(at, self._sample)

    def _sample(self) -> None:
        self._timer = None
        roots = [self._followed[name].root for name in self._measured]
        # In a thread: /proc takes its time for large trees, and psutil for its import.
        self._sampling = self._loop.run_in_executor(None, self._meter.measure, roots)
        self._sampling.add_done_callback(self._sampled)

    def _sampled(self, work: "asyncio.Future[dict[Root, Sample]]") -> None:
        self._sampling = None
        workers: dict[str, None] = {}
        for root, sample in work.result().items():
            followed = self._followed.get(root.name)
            if followed is not None and followed.root == root:
                workers[followed.worker] = None
                for text in followed.take(sample):
                    self._notice(f"{root.name}: {text}")
        for worker in workers:
            self._condemn(worker)
        self._set_timer()

    def _grew_old(self, followed: _Followed, rule: ResourceRule) -> None:
        text = followed.grew_old(rule)
        if rule.action is OnBroken.REPORT:
            self._notice(f"{followed.root.name}: {text}")
        self._condemn(followed.worker)

    # ---------------------------------------------------------------- consequences

    def _condemn(self, worker: str) -> None:
        """Replace those that are to be replaced, as many at once as the worker can spare."""
        for followed in [one for one in self._followed.values() if one.worker == worker]:
            why = followed.verdict
            if why is None or followed.condemned:
                continue
            if len(self._under_way.get(worker, ())) >= self._allowed[worker]:
                return
            followed.condemned = True
            root = followed.root
            self._take(RunCondemned(root.name, root.run, why, failure=False))

    def _arrived(self, worker: str, name: str) -> None:
        names = self._under_way.get(worker)
        if names is None or name not in names:
            return
        names.remove(name)
        if not names:
            del self._under_way[worker]
        self._loop.call_soon(self._condemn, worker)


def _share_of(rule: ResourceRule, root: Root) -> float:
    """Between 0 and 1, different for each run, the same for each manager; 0 for a mere report."""
    if rule.action is not OnBroken.RESTART:
        return 0.0
    return zlib.crc32(f"{root.name}/{root.run}".encode()) / 2**32


def _amount(rule: ResourceRule, value: float) -> str:
    if rule.resource is Resource.MEMORY:
        return f"memory {_size(value)}"
    return f"CPU {value:.0%}" + (f" over {span(rule.window)}" if rule.window else "")


def _limit(rule: ResourceRule) -> str:
    return _size(rule.limit) if rule.resource is Resource.MEMORY else f"{rule.limit:.0%}"


def _size(value: float) -> str:
    for unit, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if value >= unit:
            return f"{value / unit:.4g} {name}"
    return f"{value:.0f} bytes"
