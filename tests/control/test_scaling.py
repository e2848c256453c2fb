"""The applied configuration with another number of instances: what is taken from a compilation."""

from typing import Any

import pytest

from supervisord_lite.core.spec import (
    Configuration,
    InstanceSpec,
    Program,
    Scale,
    Strategy,
    UpdatePolicy,
)
from supervisord_lite.manager.compiling import read_compiled, scale_arguments
from supervisord_lite.manager.outcome import Refused
from supervisord_lite.manager.scaling import as_compiled, refuse_unknown, with_instances
from tests.core.make import configuration, spec

OTHER = Program(("other",), "/srv")


def webs(count: int, **fields: Any) -> tuple[InstanceSpec, ...]:
    return tuple(spec(f"web:{number}", **fields) for number in range(count))


def names(configured: Configuration) -> list[str]:
    return [one.name for one in configured.instances]


def test_instances_keep_their_place() -> None:
    """The others stand around them as before."""
    applied = configuration(spec("a:0"), *webs(1), spec("z:0"))
    compiled = configuration(*webs(3), spec("a:0"), spec("z:0"), scales=(Scale("web", 1, 3),))
    scaled = with_instances(applied, compiled, "web")
    assert names(scaled) == ["a:0", "web:0", "web:1", "web:2", "z:0"]
    assert scaled.scales == (Scale("web", 1, 3),)


def test_only_the_worker_is_taken_over() -> None:
    """What else has changed in the files meanwhile is not applied by the way."""
    applied = configuration(*webs(1), spec("db:0"))
    compiled = configuration(*webs(2), spec("db:0", program=OTHER), spec("new:0"))
    assert with_instances(applied, compiled, "web").instances == (*webs(2), spec("db:0"))


def test_a_worker_that_has_changed_is_refused() -> None:
    """Its new instances would be others than the old ones."""
    with pytest.raises(Refused, match="cannot scale web: its file has changed"):
        with_instances(configuration(*webs(1)), configuration(*webs(2, program=OTHER)), "web")


def test_a_worker_that_is_not_applied_is_refused() -> None:
    """It stands in the file, but nobody has said `reload` yet."""
    listing = [{"path": "workers.db.command", "value": "db", "origin": "shop.yaml:2"}]
    with pytest.raises(Refused, match="cannot scale web: it has not been applied yet"):
        refuse_unknown(["db", "web"], listing)


def test_a_worker_without_instances_is_given_some() -> None:
    """One that was declared with `instances: 0`."""
    applied = configuration(spec("db:0"))
    scaled = with_instances(applied, configuration(spec("db:0"), *webs(2)), "web")
    assert scaled.instances == (spec("db:0"), *webs(2))


def test_shares_of_the_instances_follow_their_number() -> None:
    """`max_unavailable: 50%` is another number for more instances, and no edit."""
    few = UpdatePolicy(Strategy.ROLLING, 1)
    more = UpdatePolicy(Strategy.ROLLING, 2)
    scaled = with_instances(
        configuration(*webs(2, update=few)), configuration(*webs(4, update=more)), "web"
    )
    assert {one.update for one in scaled.instances} == {more}


def test_the_spare_comes_behind_the_last_instance() -> None:
    """A start-first roll-out goes on having one."""
    applied = configuration(*webs(1), spares=(spec("web:1"), spec("api:4")))
    compiled = configuration(*webs(2), spares=(spec("web:2"), spec("api:9")))
    assert with_instances(applied, compiled, "web").spares == (spec("api:4"), spec("web:2"))


def test_a_worker_that_was_scaled_to_nothing_comes_back() -> None:
    """The scale is what is left of it."""
    applied = configuration(spec("db:0"), scales=(Scale("web", 1, 0),))
    scaled = with_instances(applied, configuration(*webs(1), spec("db:0")), "web")
    assert (names(scaled), scaled.scales) == (["db:0", "web:0"], ())


def test_what_was_scaled_is_remembered_like_a_compilation() -> None:
    """The text is read back as the very same configuration, with its listing."""
    listing = [{"path": "workers.web.command", "value": "serve", "origin": "a.yaml:1"}]
    compiled = as_compiled(configuration(*webs(2)), listing)
    again = read_compiled(compiled.text)
    assert (again.configuration, again.listing) == (configuration(*webs(2)), listing)


def test_scales_are_arguments_of_the_compiler() -> None:
    """Those that are applied say what the file said when they were asked for."""
    assert scale_arguments((Scale("web", 2, 8),), {"mail": 3}) == [
        *("--keep", "web=2:8"),
        *("--scale", "mail=3"),
    ]
