"""Who else holds slots of a machine, in words."""

import pytest

from orchestrator.backends.local import neighbours
from orchestrator.backends.local.neighbours import AGENT, others_among

RUN = "/state/runs/jobs/j-1/runs/j-1-r2"
LINES = {
    7: ["python", "-P", "-m", AGENT, RUN, "j-1-r2.0"],
    8: ["python", "-P", "-m", AGENT, RUN, "j-1-r2.0"],
    9: ["python", "-P", "-m", AGENT, "/mine/runs/jobs/j-9/runs/j-9-r1", "j-9-r1.0"],
    11: ["verify", "elastic"],
}


def test_jobs_of_other_servers_are_told_once_with_their_process_and_ours_are_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(neighbours, "arguments_of", lambda pid: LINES.get(pid, []))
    said = others_among([11, 9, 8, 7, 6], lambda agent: agent.directory.startswith("/mine/"))
    assert said == "j-1 (process 7, runs under /state/runs), process 11 (verify elastic)"
    assert others_among([9], lambda agent: True) == ""
