"""What `orchestrator results` tells of a program, whose results are its own affair."""

import pytest
from api_fakes import NOW, FakeService

pytestmark = pytest.mark.usefixtures("live")


def test_how_a_program_ended_and_where_its_output_lies(cli, service: FakeService) -> None:
    view = service.add("j-a", state="succeeded")
    message = "every rank ended with exit code 0"
    run = view.runs[0].model_copy(update={"ended_at": NOW + 60, "message": message, "directory": "/runs/j-a-r1"})
    service.jobs["j-a"] = view.model_copy(update={"runs": [run], "started_at": NOW, "finished_at": NOW + 60})
    lines = [line.split(maxsplit=1) for line in cli("results", "j-a").out.splitlines() if line]
    assert lines[1:] == [
        ["ended", message],
        ["took", "1m 00s, in 1 run"],
        ["output", "in    /runs/j-a-r1/logs  (orchestrator logs j-a)"],
    ]


def test_of_a_program_that_runs_its_runs_are_counted(cli, service: FakeService) -> None:
    service.add("j-a", state="running")
    assert "runs         1 run so far" in cli("results", "j-a").out
