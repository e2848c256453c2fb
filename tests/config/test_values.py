"""Text to value: what is accepted, what is refused, and what is proposed instead."""

import signal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisord_lite.config import values


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("5s", 5), ("2m", 120), ("1h", 3600), ("1d", 86400), ("1h30m", 5400)],
)
def test_durations_are_seconds(text: str, seconds: float) -> None:
    """A number and a unit make a duration, several of them their sum."""
    assert values.duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("5 sec", "try 5s"),
        ("5", "try 5s"),
        ("3 minutes", "try 3m"),
        ("10 Hours", "try 10h"),
        ("20msec", "try 20ms"),
        ("soon", "try 250ms, 5s, 2m or 1h"),
        ("", "try 250ms"),
        ("-5s", "try 250ms"),
        ("1e3s", "try"),
        ("٣s", "try"),
    ],
)
def test_a_misspelt_duration_gets_a_proposal(text: str, hint: str) -> None:
    """What cannot be read is refused with what was probably meant."""
    with pytest.raises(ValueError, match="cannot read") as caught:
        values.duration(text)
    assert hint in str(caught.value)


@settings(deadline=None)  # a busy machine is no failure
@given(st.integers(0, 10**6), st.sampled_from([("ms", 0.001), ("s", 1), ("m", 60), ("h", 3600)]))
def test_durations_round_trip(number: int, unit: tuple[str, float]) -> None:
    """Every whole number of a unit is read back as so many seconds."""
    assert values.duration(f"{number}{unit[0]}") == number * unit[1]


@settings(deadline=None)  # a busy machine is no failure
@given(st.integers(0, 10**9), st.sampled_from([("", 0), ("KiB", 10), ("MiB", 20), ("TiB", 40)]))
def test_sizes_round_trip(number: int, unit: tuple[str, int]) -> None:
    """Every whole number of a unit is read back as so many bytes, exactly."""
    assert values.size(f"{number}{unit[0]}") == number << unit[1]


@settings(deadline=None)  # a busy machine is no failure
@given(st.text(max_size=30))
def test_any_text_is_a_value_or_a_refusal(text: str) -> None:
    """No text whatever makes a parser fail in another way than by saying that it cannot."""
    parsers = (values.duration, values.size, values.mode, values.signal_number, values.cpus)
    for parse in (*parsers, values.boolean, values.limit_value):
        try:
            parse(text)
        except ValueError as error:
            assert str(error).startswith("cannot ")


@pytest.mark.parametrize(
    ("text", "size"), [("0", 0), ("1.5GiB", 3 << 29), ("10MB", 10**7), ("7B", 7)]
)
def test_sizes_are_bytes(text: str, size: int) -> None:
    """Binary and decimal units, fractions, and plain bytes."""
    assert values.size(text) == size


@pytest.mark.parametrize(("text", "hint"), [("10mb", "10MiB"), ("5 k", "5KiB"), ("big", "64KiB")])
def test_a_misspelt_size_gets_a_proposal(text: str, hint: str) -> None:
    """A unit that we do not know is answered with the one that we do."""
    with pytest.raises(ValueError, match=f"try {hint}"):
        values.size(text)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("TERM", signal.SIGTERM),
        ("SIGTERM", signal.SIGTERM),
        ("usr1", signal.SIGUSR1),
        ("9", signal.SIGKILL),
        ("RTMIN+1", signal.SIGRTMIN + 1),
        ("SIGRTMAX-2", signal.SIGRTMAX - 2),
    ],
)
def test_signals_are_numbers(text: str, number: int) -> None:
    """A signal goes by its name, with and without SIG, or by its number."""
    assert values.signal_number(text) == number


@pytest.mark.parametrize("text", ["TREM", "0", "65", "RTMIN+99", "SIG", ""])
def test_an_unknown_signal_is_refused(text: str) -> None:
    """What is no signal here is refused."""
    with pytest.raises(ValueError, match="as a signal"):
        values.signal_number(text)


@pytest.mark.parametrize(("text", "mode"), [("000", 0), ("022", 18), ("0660", 432), ("0o600", 384)])
def test_modes_are_octal(text: str, mode: int) -> None:
    """A mode is octal with and without a leading zero; 000 is a mode as well."""
    assert values.mode(text) == mode


@pytest.mark.parametrize("text", ["8", "1777", "rw", "", "-1", "0x1"])
def test_a_mode_that_is_none_is_refused(text: str) -> None:
    """Bits above 0777 and all that is not octal are refused."""
    with pytest.raises(ValueError, match="octal"):
        values.mode(text)


@pytest.mark.parametrize(("text", "cpus"), [("0", (0,)), ("0-2,5", (0, 1, 2, 5)), ("3, 1", (1, 3))])
def test_cpu_lists_are_sorted_numbers(text: str, cpus: tuple[int, ...]) -> None:
    """Ranges and numbers, in any order."""
    assert values.cpus(text) == cpus


@pytest.mark.parametrize("text", ["", "a", "3-1", "1-", "0-99999"])
def test_a_cpu_list_that_is_none_is_refused(text: str) -> None:
    """Ranges that run backwards or into the void are refused, cheaply."""
    with pytest.raises(ValueError, match="list of CPUs"):
        values.cpus(text)
