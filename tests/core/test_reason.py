import errno

from supervisord_lite.core import reason
from supervisord_lite.core.event import SpawnFailed
from supervisord_lite.core.spec import HookPoint, Program, RestartLimit, Rung, Target
from supervisord_lite.core.state import Exit


def test_exits_in_words() -> None:
    """An exit is told by its code, by its signal's name, or as unknown."""
    assert reason.exited(Exit(code=1)) == "exit code 1"
    assert reason.exited(Exit(signal=9)) == "killed by SIGKILL"
    assert reason.exited(Exit(signal=11, core_dumped=True)) == "killed by SIGSEGV, core dumped"
    assert reason.exited(Exit()) == "exit status unknown"


def test_a_failed_spawn_names_stage_and_errno() -> None:
    """What could not be done, why, and the errno by name."""
    program = Program(("./serve",), "/srv")
    failed = SpawnFailed("web:0", 1, "exec", errno.ENOENT, "No such file or directory")
    text = reason.cannot_spawn(failed, program)
    assert text == "cannot exec ./serve: No such file or directory (ENOENT)"
    hung = SpawnFailed("web:0", 1, "deadline", 0, "no answer within 10 s")
    assert reason.cannot_spawn(hung, program) == "cannot start: no answer within 10 s"
    odd = SpawnFailed("web:0", 1, "gate", 9999, "")
    assert reason.cannot_spawn(odd, program) == "cannot start, at gate (errno 9999)"


def test_errno_names_are_those_of_the_system() -> None:
    """The table says what Linux says."""
    assert {n: errno.errorcode[n] for n in reason._ERRNO_NAMES} == reason._ERRNO_NAMES


def test_giving_up_says_how_often() -> None:
    """The reason of FATAL counts the failed starts and ends with the last one's cause."""
    text = reason.given_up(10, RestartLimit(10, 300.0), "exit code 1")
    assert text == "10 failed starts within 5m, last: exit code 1"


def test_a_rung_that_was_not_enough_is_told() -> None:
    """What comes next, and what did not do."""
    text = reason.climbed(Rung(15, Target.MAIN, 10.0), Rung(9, Target.TREE, 5.0))
    assert text == "SIGKILL to its tree: SIGTERM to its main process was not enough"


def test_trouble_of_hooks_is_known() -> None:
    """By how its telling begins."""
    assert reason.is_trouble_of_hook(reason.hook_failed(HookPoint.PRE_STOP, Exit(code=1)))
    assert not reason.is_trouble_of_hook(reason.HOOKS_OVER)
