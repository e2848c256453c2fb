"""The workers of the typed file to instances: one `core.spec.InstanceSpec` for each slot.

What all instances of a worker have in common is made once. Only where a text mentions
`{instance}` does each instance get values of its own.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from supervisord_lite.config.bindings import Sharing
from supervisord_lite.config.dependencies import dependencies_of, refuse_circles
from supervisord_lite.config.filling import Filling
from supervisord_lite.config.identity import Identities
from supervisord_lite.config.model import Worker
from supervisord_lite.config.paths import Claims, PathTemplate
from supervisord_lite.config.place import Place
from supervisord_lite.config.policies import restart_of, stop_of
from supervisord_lite.config.probing import health_of, readiness_of
from supervisord_lite.config.program import ProgramTemplate, Streams, Surroundings
from supervisord_lite.config.scaling import Scaling, counts_of
from supervisord_lite.config.schedules import schedule_of
from supervisord_lite.config.streams import (
    DEFAULT_LOG,
    ERROR_LOG,
    Outlet,
    input_of,
    log_of,
    output_of,
)
from supervisord_lite.config.upkeep import (
    hooks_of,
    labels_of,
    on_exit_of,
    reload_of,
    rules_of,
    signals_of,
    update_of,
    watch_of,
)
from supervisord_lite.config.values import MAX_INSTANCES
from supervisord_lite.core.spec import InstanceSpec, Kind, Route, Scale, Strategy, Stream


@dataclass(frozen=True, slots=True)
class Fleet:
    """All instances, the spare ones of roll-outs, the scales that hold, and the streams of each
    worker, also of one without instances.
    """

    instances: tuple[InstanceSpec, ...] = ()
    spares: tuple[InstanceSpec, ...] = ()
    scales: tuple[Scale, ...] = ()
    streams: Mapping[str, Streams] = field(default_factory=dict)


def fleet_of(
    workers: Mapping[str, Worker],
    place: Place,
    scaling: Scaling,
    claims: Claims,
    sharing: Sharing,
) -> Fleet:
    """The instances of these workers; `place` is that of all workers."""
    counts, scales = counts_of(workers, scaling, place)
    total = sum(counts.values())
    if total > MAX_INSTANCES:
        place.refuse(f"cannot run more than {MAX_INSTANCES} instances (these are {total})")
        return Fleet()
    around = Surroundings(Identities(os.geteuid(), os.getegid()), claims, sharing)
    streams: dict[str, Streams] = {}
    instances: list[InstanceSpec] = []
    spares: list[InstanceSpec] = []
    for name, worker in workers.items():
        count, within = counts[name], place.within(name)
        shared = _shared(worker, within, workers, count)
        template = _Template(worker, within, shared, around)
        streams[name] = template.streams
        instances.extend(template.instance(number) for number in range(count))
        if shared["update"].strategy is Strategy.START_FIRST and count:
            spares.append(template.instance(count))
    refuse_circles(workers, place)
    return Fleet(tuple(instances), tuple(spares), scales, streams)


def _shared(
    worker: Worker, place: Place, workers: Mapping[str, Worker], count: int
) -> dict[str, Any]:
    """The fields of `InstanceSpec` that no `{instance}` can make different."""
    kind = worker.type or Kind.SERVICE
    restart = restart_of(worker.restart, kind, place.within("restart"))
    if worker.ready is not None and kind is not Kind.SERVICE:
        place.within("ready").refuse(f"cannot wait for a {kind} to become ready: it is to end")
    return {
        "kind": kind,
        "autostart": worker.autostart is not False,
        "restart": restart,
        "stop": stop_of(worker.stop),
        "dependencies": dependencies_of(worker, place, workers),
        "watchdog": worker.watchdog,
        "schedule": schedule_of(worker.schedule, kind, place),
        "rules": rules_of(worker, place),
        "update": update_of(worker.update, kind, count, place),
        "signals": signals_of(worker.signals, place.within("signals")),
        "reload_signal": reload_of(worker.reload, place),
        "on_exit": on_exit_of(worker, restart, place),
        "remember": bool(worker.remember),
    }


def _streams(worker: Worker, place: Place, sharing: Sharing) -> Streams:
    source = worker.stdin.channel if worker.stdin else None
    stdin = input_of(source, place.within("stdin"), sharing)
    logged = Outlet(Stream(Route.LOG), PathTemplate.at(place, DEFAULT_LOG))
    stdout = output_of(worker.stdout, place.within("stdout"), logged, sharing)
    # What a pipeline carries is data; error messages among it would break the reader.
    unsaid = Outlet(Stream(Route.JOINED))
    if stdout.stream.route is Route.CHANNEL:
        unsaid = logged
    elif stdout.pattern.channel is not None:
        unsaid = Outlet(Stream(Route.LOG), PathTemplate.at(place, ERROR_LOG))
    stderr = output_of(worker.stderr, place.within("stderr"), unsaid, sharing)
    return Streams(stdin, stdout, stderr)


class _Template:
    """The worker at `place`, for any of its instances; `shared` is what they have in common."""

    def __init__(
        self,
        worker: Worker,
        place: Place,
        shared: dict[str, Any],
        around: Surroundings,
    ) -> None:
        self._worker = worker
        self._place = place
        self._shared = shared
        self._claims = around.claims
        self.streams = _streams(worker, place, around.sharing)
        self._program = ProgramTemplate(worker, place, self.streams, around)
        self._filled: dict[str, Any] = {}
        self._varies = True

    def instance(self, number: int) -> InstanceSpec:
        name = str(self._place.path[-1])
        if self._varies:
            filling = Filling(name, number)
            self._filled = self._fill(filling)
            self._varies = filling.varied
        return InstanceSpec(
            name=f"{name}:{number}",
            worker=name,
            number=number,
            program=self._program.program(number),
            stdout_log=log_of(self.streams.stdout, name, number, self._claims),
            stderr_log=log_of(self.streams.stderr, name, number, self._claims),
            **self._shared,
            **self._filled,
        )

    def _fill(self, filling: Filling) -> dict[str, Any]:
        """The fields of `InstanceSpec` in which `{instance}` may stand, where they are given."""
        worker, place = self._worker, self._place
        fields: dict[str, Any] = {}
        if worker.labels:
            fields["labels"] = labels_of(worker.labels, place.within("labels"), filling)
        if worker.ready:
            outlets = (self.streams.stdout, self.streams.stderr)
            logged = any(outlet.log is not None for outlet in outlets)
            within = place.within("ready")
            fields["ready"] = readiness_of(worker.ready, within, filling, logged=logged)
        if worker.healthcheck:
            fields["health"] = health_of(worker.healthcheck, place.within("healthcheck"), filling)
        if worker.hooks:
            fields["hooks"] = hooks_of(worker.hooks, place.within("hooks"), filling)
        if worker.watch:
            fields["watch"] = watch_of(worker.watch, place.within("watch"), filling)
        return fields
