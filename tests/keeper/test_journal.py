"""The journal: what it says is what the next keeper knows, whatever became of the file."""

import json
from pathlib import Path

import pytest

from supervisord_lite.keeper.journal import Journal, Noted, boot_id


def test_what_was_appended_is_read_again(tmp_path: Path) -> None:
    """Records, pipes and runs come back; what is over does not."""
    first = Journal(str(tmp_path / "journal"))
    first.append({"remember": "web:0", "value": "{}"})
    first.append({"pipe": "web:0/stdout", "inode": 7, "access": 2})
    first.append({"intent": ["web:0", 1]})
    first.append({"pid": ["web:0", 1, 100, 5000]})
    first.append({"intent": ["db:0", 4]})
    first.append({"over": ["db:0", 4]})
    again = Journal(str(tmp_path / "journal")).contents
    assert again.daemon == first.contents.daemon
    assert again.records == {"web:0": "{}"}
    assert again.pipes == {"web:0/stdout": (7, 2)}
    assert again.runs == {("web:0", 1): Noted(first=(100, 5000))}
    assert again.highest == {"web:0": 1, "db:0": 4}


def test_a_run_is_remembered_with_its_times(tmp_path: Path) -> None:
    """When a run began, what its main process is by now, how and when that one ended."""
    path = str(tmp_path / "journal")
    journal = Journal(path)
    journal.append({"pid": ["web:0", 1, 100, 5000], "since": 1.5})
    journal.append({"main": ["web:0", 1, 101, 5001]})
    journal.append({"ended": ["web:0", 1, 256], "at": 2.5})
    expected = Noted((100, 5000), 1.5, (101, 5001), 256, 2.5)
    assert Journal(path).contents.runs == {("web:0", 1): expected}
    assert Journal(path).contents.runs == {("web:0", 1): expected}, "the shortest form says it, too"


def test_a_run_that_has_another_main_process_is_not_over(tmp_path: Path) -> None:
    """The end of the former main process is nothing once another one has been named."""
    path = str(tmp_path / "journal")
    journal = Journal(path)
    journal.append({"pid": ["web:0", 1, 100, 5000], "since": 1.5})
    journal.append({"ended": ["web:0", 1, 0], "at": 2.5})
    journal.append({"main": ["web:0", 1, 101, 5001]})
    assert Journal(path).contents.runs == {("web:0", 1): Noted((100, 5000), 1.5, main=(101, 5001))}


def test_a_journal_without_times_is_understood(tmp_path: Path) -> None:
    """A daemon of an earlier version has left a line without the time: it is not known."""
    path = tmp_path / "journal"
    journal = Journal(str(path))
    journal.append({"pid": ["web:0", 1, 100, 5000]})
    assert Journal(str(path)).contents.runs == {("web:0", 1): Noted((100, 5000), None)}


def test_a_forgotten_instance_may_count_anew(tmp_path: Path) -> None:
    """With its record an instance's run numbers go."""
    journal = Journal(str(tmp_path / "journal"))
    journal.append({"over": ["web:0", 9]})
    journal.append({"remember": "web:0", "value": None})
    assert Journal(str(tmp_path / "journal")).contents.highest == {}


@pytest.mark.parametrize("cut", [2, 5, 20])
def test_a_line_that_was_cut_off_is_ignored(tmp_path: Path, cut: int) -> None:
    """A keeper that died while it wrote costs that line and no other."""
    path = tmp_path / "journal"
    journal = Journal(str(path))
    journal.append({"over": ["web:0", 1]})
    journal.append({"over": ["web:0", 2]})
    path.write_bytes(path.read_bytes()[:-cut])
    assert Journal(str(path)).contents.highest == {"web:0": 1}


@pytest.mark.parametrize(
    "heading", [b"", b"\0\0\0\0", b'{"daemon": "x", "boot": "earlier"}', b"[]"]
)
def test_another_boot_or_no_heading_is_nothing(tmp_path: Path, heading: bytes) -> None:
    """Pids of an earlier boot mean nothing, nor does a file that does not say of which it is."""
    path = tmp_path / "journal"
    path.write_bytes(heading + b'\n{"pid": ["web:0", 1, 100, 5000]}\n')
    assert Journal(str(path)).contents.runs == {}


def test_a_place_that_cannot_be_written_costs_nothing_but_adoption(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The keeper works on and says so once; when there is room again, all of it is written."""
    place = tmp_path / "missing"
    journal = Journal(str(place / "journal"))
    journal.append({"over": ["web:0", 1]})
    assert journal.trouble == "No such file or directory"
    assert capfd.readouterr().err.count("workers could not be adopted") == 1
    place.mkdir()
    journal._retry_at = 0.0
    journal.append({"over": ["web:0", 2]})
    assert journal.trouble is None
    assert Journal(str(place / "journal")).contents.highest == {"web:0": 2}


def test_it_is_rewritten_when_it_has_grown(tmp_path: Path) -> None:
    """A long life does not make a long file."""
    path = tmp_path / "journal"
    journal = Journal(str(path))
    for number in range(50):
        journal.append({"remember": "web:0", "value": json.dumps("x" * 100_000 + str(number))})
    assert path.stat().st_size < 4_500_000
    assert Journal(str(path)).contents.records["web:0"].endswith('49"')


def test_the_heading_names_this_boot(tmp_path: Path) -> None:
    """The first line says whose journal it is, and of which boot."""
    Journal(str(tmp_path / "journal"))
    heading = json.loads((tmp_path / "journal").read_text().splitlines()[0])
    assert heading["boot"] == boot_id()
    assert len(heading["daemon"]) == 16
