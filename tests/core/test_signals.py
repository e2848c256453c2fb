import signal

from supervisord_lite.core.signals import FIRST_REALTIME, LAST_REALTIME, NAMES, signal_name


def test_the_table_is_that_of_the_system() -> None:
    """Every signal below the real-time ones has the number and name that Linux gives it."""
    known = {
        item.value: item.name.removeprefix("SIG")
        for item in signal.Signals
        if item.value < FIRST_REALTIME
    }
    assert known == {number: NAMES[number] for number in known}
    assert set(NAMES) - set(known) <= {16}  # Python has a name for SIGSTKFLT from 3.11 on
    assert (signal.SIGRTMIN, signal.SIGRTMAX) == (FIRST_REALTIME, LAST_REALTIME)


def test_signals_have_names() -> None:
    """A signal is shown by its name, a real-time one by its offset."""
    assert signal_name(15) == "SIGTERM"
    assert signal_name(34) == "SIGRTMIN"
    assert signal_name(35) == "SIGRTMIN+1"
    assert signal_name(99) == "signal 99"
