"""What an explanation looks at: a fleet's values at one moment, and how times are said.

It answers the questions that every explanation asks, as the machine itself would answer them: what
keeps an instance from starting, who does not meet a condition, what is declared. It is made anew
for each moment.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from supervisord_lite.core.bonds import Bonds, meets
from supervisord_lite.core.moment import OPEN
from supervisord_lite.core.rollout import Rollout
from supervisord_lite.core.spec import Condition, Configuration, Dependency, InstanceSpec
from supervisord_lite.core.state import Instance, Shutdown
from supervisord_lite.core.values import replace


@dataclass(frozen=True)
class Situation:
    """All that an explanation looks at. `clock` says a time of CLOCK_MONOTONIC as people read it;
    `wall` does so for seconds since the epoch; `last_answer` is what the last try of an
    instance's probe said, or nothing.
    """

    instances: Mapping[str, Instance]
    bonds: Bonds
    rollouts: Mapping[str, Rollout]
    configuration: Configuration | None
    shutdown: Shutdown | None
    now: float
    clock: Callable[[float], str]
    wall: Callable[[float], str]
    last_answer: Callable[[str], str]

    def obstacles(self, spec: InstanceSpec) -> list[Dependency]:
        """The dependencies that keep the instance from starting, each asked for by itself."""
        if spec.name not in self._obstacles:
            self._obstacles[spec.name] = [
                dependency
                for dependency in spec.dependencies
                if self.bonds.gate(replace(spec, dependencies=(dependency,))) is not OPEN
            ]
        return self._obstacles[spec.name]

    def missing(self, dependency: Dependency) -> list[Instance]:
        """The instances that do not meet the condition."""
        about = (dependency.worker, dependency.condition)
        if about not in self._missing:
            members = self.bonds.members(dependency.worker).values()
            self._missing[about] = [
                one for one in members if not one.retiring and not meets(one, dependency.condition)
            ]
        return self._missing[about]

    @cached_property
    def _obstacles(self) -> dict[str, list[Dependency]]:
        return {}

    @cached_property
    def _missing(self) -> dict[tuple[str, Condition], list[Instance]]:
        return {}

    @cached_property
    def declared(self) -> Mapping[str, Mapping[str, InstanceSpec]]:
        """The specs that the configuration has for each worker."""
        found: dict[str, dict[str, InstanceSpec]] = {}
        for spec in self.configuration.instances if self.configuration else ():
            found.setdefault(spec.worker, {})[spec.name] = spec
        return found
