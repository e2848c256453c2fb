"""Generations: who has a channel that was replaced is restarted, and nobody else."""

from dataclasses import replace

from supervisord_lite.core.channel import Binding, Channel, Fifo, Lock, Pipe, Queue, Use
from supervisord_lite.core.channel import Kind as ChannelKind
from supervisord_lite.core.generations import as_now, lacking, succeeding
from supervisord_lite.core.log import Log
from supervisord_lite.core.plan import Action, Change, difference
from supervisord_lite.core.spec import Configuration, Route, Stream

from .make import PROGRAM, configuration, pipe, spec, writer

BOUND = spec("a", program=replace(PROGRAM, channels=(Binding("x", Use.PUT), Binding("g"))))
READER = spec("r", program=replace(PROGRAM, stdin=Stream(Route.CHANNEL, "x")))
OTHER = spec("o", program=replace(PROGRAM, channels=(Binding("g"),)))


def declared(kind: ChannelKind) -> Configuration:
    channels = (Channel("x", kind), Channel("g", Lock()))
    return configuration(BOUND, READER, OTHER, channels=channels)


def actions(old: Configuration, new: Configuration) -> list[Action]:
    return [entry.action for entry in difference(old, new).entries]


def test_what_is_first_is_as_it_was_compiled() -> None:
    """Nothing comes before it."""
    new = declared(Queue(10))
    assert succeeding(None, new) is new


def test_a_change_in_place_restarts_nobody() -> None:
    """A greater capacity and another size are taken over by the channel that is there."""
    old = declared(Queue(10))
    new = succeeding(old, declared(Queue(20, 4096)))
    assert actions(old, new) == [Action.KEEP] * 3
    assert difference(old, new).changes == (
        Change("channels.x.capacity", "10", "20"),
        Change("channels.x.size", "none", "4096"),
    )


def test_a_replaced_channel_restarts_who_has_it() -> None:
    """By a descriptor or a standard stream; the plan says that it is another one."""
    old = declared(Fifo("/old"))
    new = succeeding(old, declared(Fifo("/new")))
    assert actions(old, new) == [Action.RESTART, Action.RESTART, Action.KEEP]
    plan = difference(old, new)
    assert plan.entries[0].changes == (
        Change("program.channels", "x put, g", "x put (replaced 1x), g"),
    )
    assert plan.changes[0].key == "channels.x"
    assert plan.changes[0].new.endswith("(another one)")


def test_another_type_is_another_channel() -> None:
    """Whatever the type was."""
    old = declared(Pipe())
    assert actions(old, succeeding(old, declared(Queue())))[0] is Action.RESTART


def test_a_lost_channel_is_made_anew() -> None:
    """Who has it is restarted, and the next reload restarts nobody."""
    old = declared(Fifo("/jobs"))
    new = succeeding(old, declared(Fifo("/jobs")), lost=["x"])
    assert actions(old, new) == [Action.RESTART, Action.RESTART, Action.KEEP]
    assert difference(old, new).changes[0].new.endswith("(another one)")
    assert succeeding(new, declared(Fifo("/jobs"))) == new


def test_nobody_is_bound_to_an_earlier_channel() -> None:
    """An earlier program gets the channels that there are now."""
    old = declared(Queue(10))
    new = succeeding(old, declared(Queue(5)))
    assert as_now(old.instances, new) == new.instances


def test_a_generation_lasts() -> None:
    """The next reload, which compiles the file anew, restarts nobody again."""
    first = declared(Queue(10))
    second = succeeding(first, declared(Queue(5)))
    third = succeeding(second, declared(Queue(5)))
    assert third == second
    fourth = succeeding(third, declared(Queue(1)))
    assert fourth.instances[0].program.channels[0].generation == 2


def test_what_comes_back_under_a_name_is_another_one() -> None:
    """Somebody may still have what was removed, say one that has had no turn in a roll-out."""
    first = declared(Queue(10))
    none = succeeding(first, configuration(OTHER, channels=(Channel("g", Lock()),)))
    again = succeeding(none, configuration(OTHER, channels=(Channel("g", Lock()),)))
    assert none == again
    back = succeeding(again, declared(Queue(10)))
    assert [one.generation for one in back.channels] == [1, 0]
    assert actions(first, back) == [Action.RESTART, Action.RESTART, Action.KEEP]
    assert succeeding(back, declared(Queue(10))) == back


def test_what_is_no_more_cannot_be_given_to_anybody() -> None:
    """Nor what is something else now. Copies of a log need their channel as well."""
    there = declared(Pipe())
    assert lacking([OTHER], there) is None
    assert lacking([BOUND], there) == "x"  # nobody puts into a pipe
    assert lacking([BOUND], declared(Queue())) is None
    assert lacking([READER], there) is None
    assert lacking([READER], declared(Queue())) == "x"
    copied = spec("c", stdout_log=Log("/c.log", channel="y"))
    assert lacking([OTHER, copied], there) == "y"
    assert lacking([writer("w", "y")], configuration(channels=(pipe("y"),))) is None
