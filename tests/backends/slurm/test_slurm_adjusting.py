"""What waits in Slurm follows its job: priority, partition, holds."""

from dataclasses import replace

import pytest
from backend_kit import Site, waits

from orchestrator.backends.protocol import Standing, Terms


def test_what_waits_follows_its_jobs_standing(site: Site) -> None:
    backend, request = site.backend(priorities=[{"at_least": 5, "qos": "high"}]), site.request()
    backend.launch(request)
    waits(site, request)
    for standing in (Standing(), Standing(-2), Standing(-2, held=True), Standing(9), Standing(9)):
        backend.adjust(request.allocation, standing)
    assert site.calls("scontrol") == [
        "scontrol update JobId=101 Nice=20",
        "scontrol uhold 101",
        "scontrol update JobId=101 QOS=high",
        "scontrol update JobId=101 Nice=0",
        "scontrol release 101",
    ]


def test_who_is_lowered_goes_back_to_what_slurm_had_given_him(site: Site) -> None:
    rules = [{"at_least": 5, "qos": "high", "partition": "fast", "account": "rich"}]
    request = site.request()
    site.backend(priorities=rules).launch(request)
    waits(site, request)
    site.backend(priorities=rules).adjust(request.allocation, Standing(9))
    site.watch.sights[request.allocation] = replace(
        site.watch.sights[request.allocation], partition="fast", qos="high", account="rich"
    )
    for _ in range(2):
        site.backend(priorities=rules).adjust(request.allocation, Standing())
    assert site.calls("scontrol") == [
        "scontrol update JobId=101 Partition=fast Account=rich QOS=high",
        "scontrol update JobId=101 Partition=batch Account=lab QOS=normal",
    ]


def test_what_nobody_has_seen_is_not_gone_back_to_and_that_is_told(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    backend, request = site.backend(priorities=[{"at_least": 5, "qos": "high"}]), site.request()
    backend.launch(replace(request, terms=Terms(1, 1, Standing(9))))
    waits(site, request)
    refused = backend.adjust(request.allocation, Standing(-1))
    assert site.calls("scontrol") == ["scontrol update JobId=101 Nice=10"]
    assert refused.startswith("it keeps its QOS")
    assert f"{request.allocation}: {refused}" in caplog.text


def test_what_slurm_does_not_let_us_change_stays_as_it_is_and_is_told_in_the_log(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    backend, request = site.backend(priorities=[{"at_least": 5, "qos": "high"}]), site.request()
    backend.launch(request)
    waits(site, request)
    site.say("scontrol", "case $1 in update) echo 'Invalid qos specification for job 101' >&2; exit 1;; esac")
    refused = backend.adjust(request.allocation, Standing(9, held=True))
    assert refused.startswith("Slurm leaves it where it stands: Invalid qos specification for job 101; see which QOS")
    assert "slurm.priorities" in refused
    assert refused in caplog.text
    assert backend.adjust(request.allocation, Standing()) == ""
    assert [call.split()[1] for call in site.calls("scontrol")] == ["uhold", "update", "release"]


def test_what_slurm_does_not_let_us_change_keeps_nothing_else_from_being_changed(site: Site) -> None:
    backend, request = site.backend(priorities=[{"at_least": 5, "qos": "high"}]), site.request()
    backend.launch(replace(request, terms=Terms(1, 1, Standing(-2, held=True))))
    waits(site, request)
    site.say("scontrol", "case $3 in QOS=*) echo 'Invalid qos specification for job 101' >&2; exit 1;; esac")
    for standing in (Standing(9), Standing(9, held=True)):
        assert backend.adjust(request.allocation, standing)
    assert site.calls("scontrol") == [
        "scontrol update JobId=101 QOS=high",
        "scontrol update JobId=101 Nice=0",
        "scontrol release 101",
        "scontrol uhold 101",
        "scontrol update JobId=101 QOS=high",
    ]


def test_a_hold_of_an_operator_is_his_to_end_and_ours_comes_and_goes_all_the_same(site: Site) -> None:
    backend, request = site.backend(), site.request()
    backend.launch(replace(request, terms=Terms(1, 1, Standing(held=True))))
    waits(site, request)
    site.say("scontrol", "case $1 in release) echo 'Access/permission denied for job 101' >&2; exit 1;; esac")
    refused = backend.adjust(request.allocation, Standing())
    assert refused.startswith(
        "Slurm does not release it: Access/permission denied for job 101; only its administrators"
    )
    assert refused.endswith("may: scontrol release 101")
    backend.adjust(request.allocation, Standing(held=True))
    assert site.calls("scontrol") == ["scontrol release 101", "scontrol uhold 101"]


def test_an_adjustment_that_comes_too_late_does_no_harm(site: Site) -> None:
    backend, request = site.backend(), site.request()
    backend.launch(request)
    waits(site, request)
    site.say("scontrol", "echo 'Job is no longer pending execution for job 101' >&2; exit 1")
    assert backend.adjust(request.allocation, Standing(held=True)) == ""
    assert site.calls("scontrol") == ["scontrol uhold 101"]


def test_a_number_that_slurm_does_not_show_under_our_name_is_not_touched(site: Site) -> None:
    backend, request = site.backend(), site.request()
    backend.launch(request)
    backend.adjust(request.allocation, Standing(held=True))
    assert not site.calls("scontrol")
    assert site.watch.looks == 1  # the newest one may have begun before the launch
