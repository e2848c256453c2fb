"""Whatever stands in a file, it compiles or every line that is said about it has its place."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supervisord_lite.config import lifecycle, output
from supervisord_lite.config.compiler import compile_files
from supervisord_lite.config.errors import Invalid
from supervisord_lite.config.model import File, Restart, Rung, Supervisor, Ulimit, Worker
from supervisord_lite.config.sharing import Channel

LINE = re.compile(r"t\.yaml:\d+:\d+: ([^\n]+: )?cannot [^\n]+")

words = (
    st.sampled_from(
        [
            "",
            "1",
            "5s",
            "TERM",
            "always",
            "yes",
            "pipe",
            "task",
            "p",
            "root",
            "a b",
            "{instance}",
            "/x",
        ]
    )
    | st.sampled_from(
        ["job", "a", "b", "a:1", "http://a/", "* * * * *", "ready", "rolling", "start-first", "50%"]
    )
    | st.sampled_from(
        ["1MiB", "json", "prefixed", "stdout", "syslog", "03:00", "gzip", "k=v", "true"]
    )
)
texts = words | st.text(alphabet="a1{}$:-/ \"'~\n\u2028", max_size=8)
shapes = st.recursive(
    texts | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


def section(model: Any, **inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A mapping with keys of the model, and now and then a key or a shape that is wrong."""
    keys = {key: inner.get(key, shapes) | texts for key in model.model_fields}
    return st.fixed_dictionaries({}, optional=keys) | shapes


rotate = section(output.Rotate)
stream = section(
    output.Output,
    rotate=rotate,
    rate_limit=section(output.RateLimit),
    tap=section(output.Tap),
)
points = st.sampled_from(["pre_start", "post_stop", "x"])
worker = section(
    Worker,
    restart=section(Restart),
    stop=st.lists(section(Rung), max_size=3),
    stdin=stream,
    stdout=stream,
    stderr=stream,
    depends_on=st.dictionaries(st.sampled_from("abc"), section(lifecycle.Dependency), max_size=2),
    ready=section(lifecycle.Ready, http=section(lifecycle.Http)),
    healthcheck=section(lifecycle.HealthCheck, on_unhealthy=section(lifecycle.SignalTo)),
    schedule=section(lifecycle.Schedule),
    hooks=st.dictionaries(points, section(lifecycle.Hook), max_size=2),
    max_memory=section(lifecycle.MemoryRule),
    max_cpu=section(lifecycle.CpuRule),
    max_age=section(lifecycle.AgeRule),
    watch=section(lifecycle.Watch),
    update=section(lifecycle.Update),
    reload=section(lifecycle.SignalTo),
    ulimits=st.dictionaries(st.sampled_from(["nofile", "core", "x"]), section(Ulimit), max_size=2),
)
names = st.sampled_from(["a", "b", "p", "all", "no name"])
files = section(
    File,
    supervisor=section(Supervisor, log=section(output.OwnLog, rotate=rotate)),
    taps=st.dictionaries(names, section(output.SharedTap), max_size=2),
    logs=section(output.Logs, forward=st.dictionaries(names, section(output.Forward), max_size=2)),
    defaults=worker,
    channels=st.dictionaries(names, section(Channel), max_size=2),
    workers=st.dictionaries(names, worker, max_size=3),
)


@settings(
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(files)
def test_anything_compiles_or_is_refused_line_by_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, document: Any
) -> None:
    """Shapes and values in the wrong places never end in anything but a list of lines."""
    monkeypatch.chdir(tmp_path)
    Path("t.yaml").write_text(json.dumps(document), encoding="utf-8")
    try:
        compile_files(["t.yaml"], {})
    except Invalid as invalid:
        assert invalid.problems
        for line in invalid.problems:
            assert LINE.fullmatch(line), line
