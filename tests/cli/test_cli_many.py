"""Commands that take several jobs: each is asked for, and one that fails keeps none of the others from it."""

import pytest
from api_fakes import FakeService

pytestmark = pytest.mark.usefixtures("live")


@pytest.mark.parametrize(
    ("command", "before", "after"),
    [
        ("retry", "failed", "queued"),
        ("cancel", "queued", "cancelled"),
        ("hold", "queued", "held"),
        ("release", "held", "queued"),
    ],
)
def test_a_command_takes_several_jobs(cli, service: FakeService, command: str, before: str, after: str) -> None:
    for job in ("j-a", "j-b"):
        service.add(job, state=before)
    found = cli(command, "j-a", "j-b", "--json").document["data"]
    assert [(job["id"], job["state"], job["terminal"]) for job in found] == [
        (job, after, after == "cancelled") for job in ("j-a", "j-b")
    ]


def test_a_job_that_cannot_be_retried_keeps_no_other_from_it(cli, service: FakeService) -> None:
    service.add("j-a", state="running")
    service.add("j-b", state="cancelled")
    outcome = cli("retry", "j-a", "j-b")
    assert outcome.code == 6
    assert outcome.out == "j-b queued\n"
    assert "job j-a is running" in outcome.err
