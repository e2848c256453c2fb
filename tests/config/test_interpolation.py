"""`${VAR}`, `{name}`, and all the braces that are nobody's business."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisord_lite.config.compiler import Compiled
from supervisord_lite.config.interpolation import fill, substitute

VARIABLES = {"A": "one", "EMPTY": "", "NESTED": "${A}"}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("${A}", "one"),
        ("x${A}y${A}", "xoneyone"),
        ("${A:-other}", "one"),
        ("${EMPTY}", ""),
        ("${EMPTY:-other}", "other"),
        ("${UNSET:-}", ""),
        ("${UNSET:-a:-b c}", "a:-b c"),
        ("$${A} $$", "${A} $$"),
        ("$A $(A) {A} $1", "$A $(A) {A} $1"),
        ("${NESTED}", "${A}"),
    ],
)
def test_variables_are_replaced(text: str, result: str) -> None:
    """Only `${…}` is looked at, once, and `$${` is how a plain one is written."""
    assert substitute(text, VARIABLES) == result


@pytest.mark.parametrize(
    "text", ["${UNSET}", "${}", "${1}", "${A", "${A:+b}", "${A:-${B}}", "${A-b}"]
)
def test_what_cannot_be_replaced_is_refused(text: str) -> None:
    """An unset variable and a form that we do not have are mistakes, not empty texts."""
    with pytest.raises(ValueError, match="cannot"):
        substitute(text, VARIABLES)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("{name}.{instance}", "web.3"),
        ("fd://{channel.http}", "fd://5"),
        ("{print $1} {} {{name}} {names} {channel}", "{print $1} {} {web} {names} {channel}"),
        ('{"json": {"a": 1}}', '{"json": {"a": 1}}'),
    ],
)
def test_placeholders_are_filled(text: str, result: str) -> None:
    """Three placeholders are replaced; any other brace stays."""
    assert fill(text, "web", 3, {"http": 5}) == result


@settings(deadline=None)  # a busy machine is no failure
@given(st.text(alphabet="${}:-Aab cinstae.", max_size=40))
def test_any_text_is_filled_or_refused(text: str) -> None:
    """No text makes a substitution fail in another way than by saying that it cannot."""
    try:
        fill(substitute(text, VARIABLES), "web", 0, {})
    except ValueError as error:
        assert str(error).startswith("cannot ")


def test_a_substituted_null_is_a_text(compiled: Callable[..., Compiled]) -> None:
    """What comes from the environment is text: it cannot take a key away."""
    text = 'workers: {a: {command: a, environment: {X: "${X}", Y: "${Y}"}}}'
    (spec,) = compiled(text, X="~", Y="").configuration.instances
    assert spec.program.environment == (("X", "~"), ("Y", ""))


def test_a_command_is_split_before_it_is_filled(compiled: Callable[..., Compiled]) -> None:
    """What is filled in for an instance never makes new words."""
    text = "workers: {a: {command: 'echo \"{name} {instance}\"', instances: 2}}"
    words = [spec.program.argv for spec in compiled(text).configuration.instances]
    assert words == [("echo", "a 0"), ("echo", "a 1")]


def test_a_channel_is_filled_in_by_its_descriptor(compiled: Callable[..., Compiled]) -> None:
    """`{channel.X}` is the number at which the worker has X."""
    text = """
    channels: {p: {type: pipe}, q: {type: pipe}}
    workers: {a: {command: "a {channel.p} {channel.q}", stdin: {channel: p}, stdout: {channel: q}}}
    """
    (spec,) = compiled(text).configuration.instances
    assert spec.program.argv == ("a", "0", "1")
