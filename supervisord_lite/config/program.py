"""One worker's `Program`: what its instances have in common, and how each differs.

Everything that all instances share is looked up once. A worker none of whose texts mentions
`{instance}` has one program, however many instances it has.
"""

import os
from dataclasses import dataclass, field, replace

from supervisord_lite.config.bindings import Sharing
from supervisord_lite.config.commands import words_of
from supervisord_lite.config.document import Scalar
from supervisord_lite.config.envfile import EnvironmentFiles
from supervisord_lite.config.functions import (
    CALL,
    Call,
    call_of,
    refuse_other_commands,
    words_of_function,
)
from supervisord_lite.config.identity import Identities
from supervisord_lite.config.interpolation import fill, varies
from supervisord_lite.config.model import Worker
from supervisord_lite.config.paths import Claims, PathTemplate
from supervisord_lite.config.place import Place, node_at
from supervisord_lite.config.policies import limits_of
from supervisord_lite.config.streams import Outlet
from supervisord_lite.core.spec import Program, Stream


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What workers are resolved against: the machine's users and CPUs, files of variables, who
    writes where and who shares what.
    """

    identities: Identities
    claims: Claims
    sharing: Sharing
    cpus: frozenset[int] = field(default_factory=lambda: frozenset(os.sched_getaffinity(0)))
    files: EnvironmentFiles = field(default_factory=EnvironmentFiles)


@dataclass(frozen=True, slots=True)
class Streams:
    """The three standard streams of a worker."""

    stdin: Stream
    stdout: Outlet
    stderr: Outlet

    def descriptors(self) -> dict[str, int]:
        """The channels among them, each with the number that it has in the worker."""
        streams = (self.stdin, self.stdout.stream, self.stderr.stream)
        return {s.channel: number for number, s in enumerate(streams) if s.channel is not None}


class ProgramTemplate:
    """The program of the worker at `place`, for any of its instances."""

    def __init__(
        self, worker: Worker, place: Place, streams: Streams, around: Surroundings
    ) -> None:
        self._name = str(place.path[-1])
        self._files = around.files
        bindings = around.sharing.bindings(worker, place)
        texts = around.sharing.texts(worker, bindings, place)
        self._channels: dict[str, int | str] = {**streams.descriptors(), **texts}
        self._argv = self._checked(_words(worker, place), place.within("command"))
        call = call_of(worker, place)
        filled = self._checked(call.texts(), place) == call.texts()
        self._call = call if filled else Call([], {})
        self._variables = {
            key: self._checked((value,), place.within("environment", key))[0]
            for key, value in (worker.environment or {}).items()
        }
        self._variable_files = [
            PathTemplate.at(place.within("env_file", number), path)
            for number, path in enumerate(worker.env_file or ())
        ]
        self._directory = PathTemplate.at(place.within("working_dir"), worker.working_dir or ".")
        self._common = replace(_common(worker, place, streams, around), channels=bindings)
        templates = (*self._variable_files, self._directory)
        words = (*self._argv, *self._variables.values(), *self._call.texts())
        around.sharing.note_mentioned(words)
        self._varies = any(varies(text) for text in (*words, *(item.text for item in templates)))
        self._last: Program | None = None

    def program(self, instance: int) -> Program:
        if self._last is None or self._varies:
            self._last = replace(
                self._common,
                argv=tuple(self._fill(word, instance) for word in self._argv),
                working_dir=self._directory.path(self._name, instance),
                environment=self._environment(instance),
            )
        return self._last

    def _fill(self, text: str, instance: int) -> str:
        return fill(text, self._name, instance, self._channels)

    def _checked(self, texts: tuple[str, ...], place: Place) -> tuple[str, ...]:
        """The texts, if everything in them can be replaced."""
        try:
            for text in texts:
                self._fill(text, 0)
        except ValueError as error:
            place.refuse(str(error))
            return ("",) * len(texts)
        return texts

    def _environment(self, instance: int) -> tuple[tuple[str, str], ...]:
        """Sorted by name, so that moving a line in a file restarts nothing."""
        found: dict[str, str] = {}
        for template in self._variable_files:
            path = template.path(self._name, instance)
            found.update(self._files.read(path, template.place))
        for key, value in self._variables.items():
            found[key] = self._fill(value, instance)
        if self._call:
            found[CALL] = self._call.filled(lambda text: self._fill(text, instance))
        return tuple(sorted(found.items()))


def _common(worker: Worker, place: Place, streams: Streams, around: Surroundings) -> Program:
    return Program(
        argv=(),
        working_dir="",
        identity=around.identities.resolve(worker.user, worker.group, place),
        umask=worker.umask,
        clear_environment=bool(worker.clear_environment),
        limits=limits_of(worker.ulimits, place.within("ulimits")),
        nice=worker.nice,
        oom_score_adj=worker.oom_score_adj,
        cpu_affinity=_cpus(worker, place, around.cpus),
        no_new_privileges=bool(worker.no_new_privileges),
        stdin=streams.stdin,
        stdout=streams.stdout.stream,
        stderr=streams.stderr.stream,
    )


def _words(worker: Worker, place: Place) -> tuple[str, ...]:
    """The command as a list of words, before anything in it is replaced."""
    inner = place.within("command")
    refuse_other_commands(worker, place)
    if worker.python is not None:
        return words_of_function(worker)
    if worker.command is not None:
        return words_of(worker.command, inner, shell=bool(worker.shell))
    node = node_at(place.document, inner.path)
    if node is None and not place.is_given("python"):
        place.refuse("cannot be without a command")
    elif isinstance(node, Scalar) and node.null:
        inner.refuse("cannot be empty (write the program to run)")
    return ()


def _cpus(worker: Worker, place: Place, present: frozenset[int]) -> tuple[int, ...]:
    wanted = worker.cpu_affinity or ()
    unknown = sorted(set(wanted) - present)
    if unknown:
        there = ", ".join(str(cpu) for cpu in sorted(present))
        place.within("cpu_affinity").refuse(f"cannot find CPU {unknown[0]} (there are {there})")
    return wanted
