"""What a manager makes of the records that an earlier one left."""

import json

from supervisord_lite.core.plain import to_plain
from supervisord_lite.core.spec import Configuration, Control, InstanceSpec, Program
from supervisord_lite.core.state import Instance
from supervisord_lite.manager.executor import CONFIGURATION
from supervisord_lite.manager.restoring import restored
from supervisord_lite.manager.scaling import as_compiled

SPEC = InstanceSpec("web:0", "web", 0, Program(("serve",), "/srv"))
APPLIED = Configuration("shop", Control("/run/c.sock"), "/run", instances=(SPEC,))


def test_what_a_newer_version_remembered_is_gone_on_with() -> None:
    """A manager that went back to an earlier version must not die of what it does not know."""
    applied = json.loads(as_compiled(APPLIED, ()).text)
    instance = to_plain(Instance(SPEC), compact=True)
    for plain in (applied["configuration"], applied["configuration"]["instances"][0], instance):
        plain["newer"] = {"is": "unknown"}
    records = {CONFIGURATION: json.dumps(applied), "web:0": json.dumps(instance)}
    left = restored(records, held=False, as_init=False)
    assert left.fleet.configuration == APPLIED
    assert left.fleet.instances["web:0"].spec == SPEC
