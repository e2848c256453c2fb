"""Records as a new manager reads them: through the text that the real keeper remembers.

What has not changed since is not written and read again, nor is a spec within what has changed:
specs are the better part of a record, and hardly ever other ones.
"""

import json
from typing import Any, TypeVar

from supervisord_lite.core.plain import from_plain, to_plain
from supervisord_lite.core.spec import Configuration, InstanceSpec, Program
from supervisord_lite.core.state import Instance
from supervisord_lite.core.values import replace

from .invariant import require

T = TypeVar("T")

_NO_SPEC = InstanceSpec("", "", 0, Program((), "/"))


class Records:
    def __init__(self) -> None:
        self._read: dict[str, tuple[Any, Any]] = {}  # by name: what was written, what was read

    def read(self, name: str, value: T) -> T:
        written, found = self._read.get(name, (None, None))
        if value is not found and value != written:
            found = self._read_now(value)
            require(found == value, "read back as another", value, found)
            self._read[name] = (value, found)
        known: T = found
        return known

    def _read_now(self, value: Any) -> Any:
        if isinstance(value, Instance):
            rest = _through_json(replace(value, spec=_NO_SPEC))
            return replace(rest, spec=self._spec(value.spec))
        if isinstance(value, Configuration):
            bare = _through_json(replace(value, instances=(), spares=()))
            instances, spares = map(self._spec, value.instances), map(self._spec, value.spares)
            return replace(bare, instances=tuple(instances), spares=tuple(spares))
        return _through_json(value)

    def _spec(self, spec: InstanceSpec) -> InstanceSpec:
        return self.read(f"spec/{spec.name}", spec)


def _through_json(value: T) -> T:
    return from_plain(type(value), json.loads(json.dumps(to_plain(value, compact=True))))
