"""Random configurations, and what a person may do to one between two reloads."""

from dataclasses import replace
from random import Random

from supervisord_lite.core.signals import KILL
from supervisord_lite.core.spec import (
    ChannelSpec,
    ChannelType,
    Configuration,
    Control,
    InstanceSpec,
    Kind,
    Program,
    RestartLimit,
    RestartPolicy,
    Route,
    Rung,
    Stream,
    Target,
    When,
)

_TERM, _INT = 15, 2

_LADDERS = (
    (Rung(_TERM, Target.GROUP, 10.0), Rung(KILL, Target.TREE, 5.0)),
    (Rung(_INT, Target.MAIN, 3.0), Rung(_TERM, Target.GROUP, 3.0), Rung(KILL, Target.TREE, 1.0)),
    (Rung(KILL, Target.TREE, 2.0),),
    (Rung(_TERM, Target.MAIN, 0.0), Rung(KILL, Target.GROUP, 4.0)),
    (Rung(_INT, Target.MAIN, 5.0),),
    (Rung(_INT, Target.MAIN, 0.0), Rung(_TERM, Target.GROUP, 0.0), Rung(KILL, Target.TREE, 1.0)),
)
_CHANNELS = tuple(f"lines{number}" for number in range(4))


class File:
    """The configuration file as it is now; `configuration` reads it."""

    def __init__(self, size: int, chance: Random) -> None:
        self._chance = chance
        self._version = 0
        self.names = [f"w{number // 4}:{number % 4}" for number in range(size)]
        self._specs = {name: self._spec(name) for name in self.names}

    def configuration(self) -> Configuration:
        return Configuration(
            "shop",
            Control("/run/shop.sock"),
            runtime_dir="/run/shop",
            stop_deadline=40.0,
            instances=tuple(self._specs.values()),
            channels=tuple(ChannelSpec(name, ChannelType.PIPE) for name in _CHANNELS),
        )

    def edit(self) -> None:
        """Change, remove and add a few instances; sometimes nothing at all."""
        for name in self._chance.sample(self.names, k=min(len(self.names), 4)):
            what = self._chance.random()
            spec = self._specs.get(name)
            if spec is None:
                self._specs[name] = self._spec(name)
            elif what < 0.2:
                del self._specs[name]
            elif what < 0.5:
                self._specs[name] = replace(spec, program=self._program())
            elif what < 0.8:
                self._specs[name] = replace(
                    spec, restart=self._policy(), stop=self._chance.choice(_LADDERS)
                )

    def _spec(self, name: str) -> InstanceSpec:
        worker, _, number = name.partition(":")
        return InstanceSpec(
            name,
            worker,
            int(number),
            self._program(),
            kind=Kind.TASK if self._chance.random() < 0.15 else Kind.SERVICE,
            autostart=self._chance.random() < 0.9,
            restart=self._policy(),
            stop=self._chance.choice(_LADDERS),
        )

    def _program(self) -> Program:
        self._version += 1
        writes = self._chance.random() < 0.3
        channel = Stream(Route.CHANNEL, self._chance.choice(_CHANNELS))
        stdout = channel if writes else Stream(Route.LOG)
        return Program(("work", f"--version={self._version}"), "/srv", stdout=stdout)

    def _policy(self) -> RestartPolicy:
        chance = self._chance
        limit = chance.choice((None, RestartLimit(3, 20.0), RestartLimit(10, 300.0)))
        return RestartPolicy(
            when=chance.choice((When.ALWAYS, When.ALWAYS, When.ON_FAILURE, When.NEVER)),
            delay=chance.choice((0.0, 0.1, 1.0)),
            max_delay=chance.choice((5.0, 30.0)),
            limit=limit,
            stable_after=chance.choice((0.0, 1.0)),
        )
