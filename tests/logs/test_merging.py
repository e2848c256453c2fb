"""The lines of several logs in the order of time, and the last ones that match."""

from __future__ import annotations

from contextlib import ExitStack, closing
from itertools import count
from pathlib import Path

from supervisord_lite.logs.reading.lines import LineReader
from supervisord_lite.logs.reading.matching import Matcher
from supervisord_lite.logs.reading.merging import Found, LastFound, Merging
from tests.logs.written_log import SECOND, Log


def merged(logs: list[Log], **wanted: object) -> list[Found]:
    """All that is in these logs, in order."""
    found: list[Found] = []
    with ExitStack() as stack:
        readers = [
            stack.enter_context(closing(LineReader(log.path, **wanted)))  # type: ignore[arg-type]
            for log in logs
        ]
        merging = Merging(readers)
        while (some := merging.step()) is not None:
            found += some
    return found


def some_logs(tmp_path: Path, number: int) -> list[Log]:
    directories = [tmp_path / str(one) for one in range(number)]
    for directory in directories:
        directory.mkdir()
    return [Log(directory) for directory in directories]


def test_lines_are_in_the_order_of_time(tmp_path: Path) -> None:
    """Whichever log they are in; those of one time by log, and as they stand in it."""
    logs = some_logs(tmp_path, 3)
    for second in range(300):
        logs[second * 7 % 3].write(b"%d\n" % second, at=second // 2)
    found = merged(logs, since=0)
    assert sorted(int(one.line.text) for one in found) == [*range(300)]
    order = [(one.line.time, one.number) for one in found]
    assert order == sorted(order)


def test_a_line_s_position_is_after_it(tmp_path: Path) -> None:
    """Whatever has been read of the log ahead."""
    logs = some_logs(tmp_path, 2)
    for second in range(20):
        logs[second % 2].write(b"%d\n" % second, at=second)
    found = merged(logs, since=0)
    for one in found[:-2]:
        with closing(LineReader(logs[one.number].path, position=one.position)) as reader:
            assert reader.read(1)[0].text == b"%d" % (int(one.line.text) + 2)


def test_a_long_search_is_cut_into_steps(tmp_path: Path) -> None:
    """Nothing may be found in a step, and the end is still to come."""
    logs = some_logs(tmp_path, 1)
    logs[0].write(b"".join(b"%07d\n" % number for number in range(2_000_000)) + b"this\n", at=1)
    with closing(LineReader(logs[0].path, since=0)) as reader:
        reader.pass_over_others(Matcher("this"))
        merging = Merging([reader])
        steps = []
        while (some := merging.step()) is not None:
            steps.append(len(some))
    assert (steps[0], sum(steps)) == (0, 1)
    assert len(steps) > 3


def test_the_last_matching_lines_are_found(tmp_path: Path) -> None:
    """As many as wanted, or all there are, wherever they stand."""
    (log,) = some_logs(tmp_path, 1)
    log.write(b"".join(b"%d\n" % number for number in range(10_000)), at=1)
    for pattern, lines, expected in (
        ("77$", 2, [b"9877", b"9977"]),
        ("^1$", 5, [b"1"]),
        ("x", 5, []),
    ):
        matcher = Matcher(pattern)
        with closing(LineReader(log.path, since=0)) as reader:
            reader.pass_over_others(matcher)
            last = LastFound(reader, lines)
            position = next(found for _ in count() if (found := last.step()) is not None)
        with closing(LineReader(log.path, position=position)) as reader:
            reader.pass_over_others(matcher)
            assert [line.text for line in reader.read(99)] == expected


def test_an_unfinished_line_is_part_of_what_is_there(tmp_path: Path) -> None:
    """It may be the most interesting one."""
    (log,) = some_logs(tmp_path, 1)
    log.write(b"one\ntwo", at=SECOND)
    assert [(one.line.text, one.line.partial) for one in merged([log], since=0)] == [
        (b"one", False),
        (b"two", True),
    ]
