"""What the library costs a worker, and what it drags in."""

import json
import subprocess
import sys

import pytest

from tests.worker.made import Made


@pytest.mark.parametrize("name", ["queue", "guard", "slots", "total", "grid"])
def test_it_imports_neither_the_daemon_nor_multiprocessing(made: Made, name: str) -> None:
    """Nor anything beyond the standard library, whatever channel is used."""
    made.queue("queue", 5)
    made.lock("guard")
    made.semaphore("slots", 2)
    made.value("total", "q", "guard")
    made.array("grid", "d", 3)
    code = (
        "import json, sys; before = set(sys.modules);"
        f"from supervisord_lite.worker import channels; one = channels[{name!r}];"
        "hasattr(one, 'put') and (one.put([1]), one.get());"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    process = made.start(["-c", code], stdout=subprocess.PIPE)
    imported = json.loads(process.communicate()[0])
    ours = [module for module in imported if module.startswith("supervisord_lite.")]
    assert all(module.startswith("supervisord_lite.worker") for module in ours)
    roots = {module.partition(".")[0] for module in imported} - {"supervisord_lite"}
    assert roots <= sys.stdlib_module_names
    assert "multiprocessing" not in roots


def test_an_unknown_name() -> None:
    """Is an AttributeError, as in any module."""
    with pytest.raises(ImportError, match="cannot import name 'nothing'"):
        from supervisord_lite.worker import nothing  # noqa: F401
