"""What an agent says is not lost where the disk is away for a while."""

import threading
from pathlib import Path

import pytest

from orchestrator.rundir.allocations import AllocationFiles
from orchestrator.rundir.events import read_events
from orchestrator.rundir.layout import JobDirectory
from orchestrator.runtime.durable import DurableEvents


@pytest.fixture
def files(tmp_path: Path) -> AllocationFiles:
    run = JobDirectory.under(tmp_path, "j").run("j-r1")
    run.create()
    return AllocationFiles(run, "j-r1.0")


def take_away(files: AllocationFiles) -> Path:
    folder = files.run.events / files.writer
    folder.rename(folder.with_name("away"))
    folder.touch()
    return folder


def bring_back(folder: Path) -> None:
    folder.unlink()
    folder.with_name("away").rename(folder)


def kinds(files: AllocationFiles) -> list[str]:
    return [event.kind for event in read_events(files.run, {})]


def test_what_cannot_be_written_now_is_written_later_and_in_order(files: AllocationFiles) -> None:
    events = DurableEvents(files.run, files.writer, 1, pause=0.0)
    folder = take_away(files)
    events.note("started", world_size=1)
    events.note("resized", world_size=1)
    events.catch_up()
    bring_back(folder)
    assert kinds(files) == []
    events.write("finished")
    assert kinds(files) == ["started", "resized", "finished"]


def test_the_last_word_waits_for_the_disk(files: AllocationFiles) -> None:
    events = DurableEvents(files.run, files.writer, 1, pause=0.01)
    folder = take_away(files)
    timer = threading.Timer(0.1, bring_back, [folder])
    timer.start()
    events.write("finished")
    timer.join()
    assert kinds(files) == ["finished"]


def test_what_the_next_word_replaces_is_dropped_and_the_rest_arrives(
    files: AllocationFiles, capfd: pytest.CaptureFixture[str]
) -> None:
    events = DurableEvents(files.run, files.writer, 1, pause=0.0)
    events.mention("progress", samples=1)
    folder = take_away(files)
    for samples in (2, 3):
        events.mention("progress", samples=samples)
        events.note("checkpoint", samples=samples)
    bring_back(folder)
    events.mention("progress", samples=4)
    found = [(event.kind, event.data["samples"]) for event in read_events(files.run, {})]
    assert found == [("progress", 1), ("checkpoint", 2), ("checkpoint", 3), ("progress", 4)]
    assert capfd.readouterr().err.count("cannot write the event") == 1


def test_a_last_word_that_the_disk_never_takes_is_given_up(files: AllocationFiles) -> None:
    events = DurableEvents(files.run, files.writer, 1, pause=0.0, patience=0.02)
    take_away(files)
    with pytest.raises(OSError, match="the event finished cannot be written"):
        events.write("finished")
