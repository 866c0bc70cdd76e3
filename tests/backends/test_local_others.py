"""Who else holds slots of a machine, in words."""

from typing import Any

import pytest

from orchestrator.backends.local import others
from orchestrator.backends.local.others import AGENT, others_among
from orchestrator.backends.protocol import AllocationState, Others

RUN = "/state/runs/jobs/j-1/runs/j-1-r2"
LINES = {
    7: ["python", "-P", "-m", AGENT, RUN, "j-1-r2.0"],
    8: ["python", "-P", "-m", AGENT, RUN, "j-1-r2.0"],
    9: ["python", "-P", "-m", AGENT, "/mine/runs/jobs/j-9/runs/j-9-r1", "j-9-r1.0"],
    11: ["/usr/bin/serve", "--token", "secret"],
}


def test_jobs_of_other_servers_are_told_once_and_of_other_processes_no_arguments(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(others, "arguments_of", lambda pid: LINES.get(pid, []))
    monkeypatch.setattr(others, "program_of", lambda pid: "serve")
    said = others_among([11, 9, 8, 7, 6], lambda agent: agent.directory.startswith("/mine/"))
    assert said == Others("j-1 (process 7, runs under /state/runs)", "serve (process 11)")
    assert others_among([9], lambda agent: True) == Others()


def test_an_agent_that_runs_is_another_servers_and_not_told_by_the_server_that_started_it(engine: Any) -> None:
    ours, request = engine.server(), engine.request(["/bin/sh", "-c", "sleep 600"])
    ours.launch(request)
    engine.until(ours, request, AllocationState.RUNNING)
    other = engine.server("state-2")
    engine.wait_for(lambda: other.others("n").jobs)
    said = other.others("n")
    assert said.jobs.startswith(f"{request.allocation.rpartition('-r')[0]} (process ")
    assert said.jobs.endswith(f", runs under {engine.root})")
    assert said.programs == ""
    assert ours.others("n") == Others()
