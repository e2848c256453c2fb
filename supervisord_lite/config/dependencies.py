"""`depends_on`: who waits for whom, whether what is waited for can ever come, and for no circle."""

from collections.abc import Iterator, Mapping

from supervisord_lite.config.errors import quoted, suggestion
from supervisord_lite.config.model import Worker
from supervisord_lite.config.place import Place
from supervisord_lite.core.spec import Condition, Dependency, Kind, When

Workers = Mapping[str, Worker]


def dependencies_of(worker: Worker, place: Place, workers: Workers) -> tuple[Dependency, ...]:
    """What the worker at `place` waits for, in the order of the names. A task is waited for until
    it has succeeded, a service until it is ready, unless something else is asked for.
    """
    if not worker.depends_on:
        return ()
    found = []
    for name, section in sorted(worker.depends_on.items()):
        edge = place.within("depends_on", name)
        given = section.given()
        if name == place.path[-1]:
            edge.refuse("cannot depend on itself")
        elif name in workers:
            is_task = workers[name].type is Kind.TASK
            given.setdefault("condition", Condition.SUCCEEDED if is_task else Condition.READY)
            _refuse_never(workers[name], place.beside(name), given["condition"], edge)
        elif not place.beside(name).is_given():  # else it is there, but wrong
            hint = suggestion(name, workers)
            edge.refuse(f"cannot find a worker named {quoted(name)}{hint}")
        found.append(Dependency(name, **given))
    return tuple(found)


def _refuse_never(worker: Worker, place: Place, condition: Condition, edge: Place) -> None:
    """Refuse a condition that the worker at `place` can never meet."""
    name = place.path[-1]
    kind = worker.type or Kind.SERVICE
    when = worker.restart.when if worker.restart else None
    restarts = when is When.ALWAYS or (when is None and not place.is_given("restart", "when"))
    is_up = condition in (Condition.READY, Condition.HEALTHY)
    is_over = condition in (Condition.SUCCEEDED, Condition.COMPLETED)
    if kind is Kind.JOB:
        edge.refuse(f"cannot wait for {name}: a job comes and goes by its schedule")
    elif is_up and kind is Kind.TASK:
        edge.refuse(f"cannot wait for {name} to be {condition}: it is a task (try succeeded)")
    elif condition is Condition.HEALTHY and not place.is_given("healthcheck"):
        edge.refuse(f"cannot wait for {name} to be healthy: it has no healthcheck")
    elif is_over and kind is Kind.SERVICE and restarts:
        edge.refuse(f"cannot wait for {name} to end: it is always restarted")


def refuse_circles(workers: Workers, place: Place) -> None:
    """Refuse each circle of workers that wait for each other, once, where its first edge stands;
    `place` is that of all workers.
    """
    for circle in _circles(workers):
        chain = " -> ".join((*circle, circle[0]))
        edge = place.within(circle[0], "depends_on", circle[1])
        edge.refuse(f"cannot start any of these before the others: {chain}")


def _circles(workers: Workers) -> Iterator[list[str]]:
    """Circles that have no worker in common, each beginning with the worker that stands first."""
    order = {name: number for number, name in enumerate(workers)}
    done: set[str] = set()
    for start in workers:
        path = {} if start in done else {start: _others(workers, start)}
        while path:
            name, waits = next(reversed(path.items()))
            other = next((other for other in waits if other not in done), None)
            if other is None:
                done.add(name)
                del path[name]
            elif other not in path:
                path[other] = _others(workers, other)
            else:
                names = list(path)
                circle = names[names.index(other) :]
                done.update(circle)
                for worker in circle:
                    del path[worker]
                first = circle.index(min(circle, key=order.__getitem__))
                yield circle[first:] + circle[:first]


def _others(workers: Workers, name: str) -> Iterator[str]:
    """The workers that a worker waits for, itself left out, which is refused elsewhere."""
    return (other for other in workers[name].depends_on or {} if other in workers and other != name)
