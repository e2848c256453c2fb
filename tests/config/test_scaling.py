"""Numbers of instances that an operator asked for: `--scale` and `--keep`."""

from collections.abc import Callable

import pytest

from supervisord_lite.config.compiler import compile_files
from supervisord_lite.config.errors import Invalid
from supervisord_lite.config.scaling import Scaling, read_options
from supervisord_lite.core.spec import Configuration, Scale

Write = Callable[..., None]

TEXT = "workers: {web: {command: 'w {instance}', instances: 2}, db: {command: d}}"


@pytest.fixture
def scaled(write: Write) -> Callable[..., Configuration]:
    """Compile a text with a scaling."""

    def scaled(scaling: Scaling, text: str = TEXT) -> Configuration:
        write({"t.yaml": text})
        return compile_files(["t.yaml"], {}, scaling).configuration

    return scaled


Scaled = Callable[..., Configuration]


def names(configuration: Configuration) -> list[str]:
    return [spec.name for spec in configuration.instances]


def test_a_number_that_is_asked_for_holds(scaled: Scaled) -> None:
    """More instances than the file declares, and a note of what it declared."""
    found = scaled(Scaling(asked=(("web", 4),)))
    assert names(found) == ["web:0", "web:1", "web:2", "web:3", "db:0"]
    assert found.scales == (Scale("web", declared=2, count=4),)


def test_scaling_changes_no_sibling(scaled: Scaled) -> None:
    """The instances that there were compile to the same values."""
    before, after = scaled(Scaling()), scaled(Scaling(asked=(("web", 5),)))
    assert set(before.instances) <= set(after.instances)


def test_fewer_are_the_first_ones(scaled: Scaled) -> None:
    """Scaling down takes the last instances away, down to none."""
    assert names(scaled(Scaling(asked=(("web", 1),)))) == ["web:0", "db:0"]
    assert names(scaled(Scaling(asked=(("web", 0),)))) == ["db:0"]


def test_the_number_of_the_file_is_no_scale(scaled: Scaled) -> None:
    """Who asks for what the file says anyway undoes what was asked for before."""
    before = (Scale("web", declared=2, count=4),)
    assert scaled(Scaling(asked=(("web", 2),), kept=before)).scales == ()


def test_a_scale_is_kept_while_the_file_says_the_same(scaled: Scaled) -> None:
    """A reload for other reasons does not change how many there are."""
    before = (Scale("web", declared=2, count=4),)
    assert scaled(Scaling(kept=before)).scales == before


@pytest.mark.parametrize("number", [1, 3, 4])
def test_another_number_in_the_file_ends_a_scale(scaled: Scaled, number: int) -> None:
    """When the file's number changes it is the one that counts."""
    text = f"workers: {{web: {{command: w, instances: {number}}}}}"
    found = scaled(Scaling(kept=(Scale("web", declared=2, count=4),)), text)
    assert (len(found.instances), found.scales) == (number, ())


def test_a_scale_goes_with_its_worker(scaled: Scaled) -> None:
    """What was asked for a worker that is no more is no mistake of the file."""
    found = scaled(Scaling(kept=(Scale("gone", declared=1, count=4),)))
    assert found.scales == ()


def test_what_is_asked_now_goes_first(scaled: Scaled) -> None:
    """A new number takes the place of the one before, and the others stay."""
    before = (Scale("web", declared=2, count=4), Scale("db", declared=1, count=2))
    found = scaled(Scaling(asked=(("web", 3),), kept=before))
    assert found.scales == (Scale("web", 2, 3), Scale("db", 1, 2))


def test_the_spare_is_behind_the_last(scaled: Scaled) -> None:
    """With more instances, the spare of a roll-out has a higher number."""
    text = "workers: {web: {command: w, update: start-first}}"
    assert [spec.name for spec in scaled(Scaling(asked=(("web", 3),)), text).spares] == ["web:3"]


@pytest.mark.parametrize(
    ("worker", "count", "place", "problem"),
    [
        ("wbe", 2, "1:1: workers", '"wbe": there is no such worker (did you mean "web"?)'),
        ("web", 20_001, "1:53: workers.web.instances", "there can be 20000 instances at most"),
        ("web", 20_000, "1:1: workers", "more than 20000 instances (these are 20001)"),
    ],
)
def test_a_scale_that_cannot_be_is_refused(
    scaled: Scaled, worker: str, count: int, place: str, problem: str
) -> None:
    """The worker has to be there, and not too often."""
    with pytest.raises(Invalid) as caught:
        scaled(Scaling(asked=((worker, count),)))
    (line,) = caught.value.problems
    assert line.startswith(f"t.yaml:{place}: cannot ")
    assert line.endswith(problem)


@pytest.mark.parametrize("output", ["x.log", '{log: "x.{instance}", tap: x.fifo}'])
def test_instances_that_would_share_a_file_are_refused(scaled: Scaled, output: str) -> None:
    """One instance can have a log of any name; two cannot have the same."""
    text = f"workers: {{web: {{command: w, stdout: {output}}}}}"
    with pytest.raises(Invalid) as caught:
        scaled(Scaling(asked=(("web", 2),)), text)
    assert caught.value.problems[0].endswith("from several instances (put {instance} into it)")


def test_the_options_of_the_process() -> None:
    """Files come first; what was asked for twice is the later one."""
    files, scaling = read_options(
        ["/a.yaml", "/b.yaml", "--keep", "web=2:4", "--scale", "db=1", "--scale", "db=3"]
    )
    assert files == ["/a.yaml", "/b.yaml"]
    assert scaling == Scaling((("db", 3),), (Scale("web", 2, 4),))


@pytest.mark.parametrize("option", ["web", "web=", "=3", "web=-1", "web=3:4", "web=²", ""])
def test_an_option_that_is_none_is_refused(option: str) -> None:
    """Only the manager writes these, so one that cannot be read is a mistake of the program."""
    with pytest.raises(ValueError, match=r"cannot read .* as a scale"):
        read_options(["/a.yaml", "--scale", option])
