"""Teams at submit: who is one, who may charge which, and what one can never hold."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from orchestrator.base.errors import NotAllowed, OrchestratorError, UsageError
from orchestrator.testing.world import World

TEAMS: list[dict[str, Any]] = [{"name": "lab", "limit": 4}, {"name": "video", "parent": "lab"}, {"name": "speech"}]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, slots=8, profile={"policy": "default", "teams": TEAMS})


@pytest.mark.parametrize("team", ["lab", "video"])
def test_what_a_team_or_one_above_it_may_never_hold_is_refused(world: World, team: str) -> None:
    with pytest.raises(UsageError, match="needs at least 5 cpu slots; team lab may hold 4"):
        world.submit("start", "succeed", team=team, resources={"workers": 5})
    assert world.state(world.submit("start", "succeed", team=team, resources={"workers": 4})) == "queued"
    assert world.state(world.submit("start", "succeed", team="speech", resources={"workers": 8})) == "queued"


def test_a_team_that_the_profile_does_not_name_is_refused(world: World) -> None:
    with pytest.raises(UsageError, match=r"has no team 'vide0'; did you mean 'video'"):
        world.submit("start", "succeed", team="vide0")
    with pytest.raises(UsageError, match="has no team 'default'"):
        world.submit("start", "succeed")
    assert world.service.list() == []


def test_a_team_that_looks_like_one_with_an_account_in_slurm_is_refused(tmp_path: Path) -> None:
    world = World(tmp_path, queues=True, profile={"slurm": {"accounts": {"vision": "vis", "video": "vid"}}})
    with pytest.raises(UsageError, match=r"has no team 'visoin'; did you mean 'vision'\?"):
        world.submit("start", "succeed", team="visoin")
    assert [world.job(world.submit("start", team=team)).team for team in ("vision", "speech", "default")]
    assert len(world.service.list()) == 3


def test_a_profile_without_teams_takes_any(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert world.job(world.submit("start", "succeed", team="video")).team == "video"


def test_a_team_that_had_no_job_before_is_told_with_the_one_that_it_looks_like(tmp_path: Path) -> None:
    world = World(tmp_path)

    def warned(team: str) -> list[str]:
        return world.service.submit(world.request("start", "succeed", team=team), "ann").warnings

    assert warned("video") == ["it is charged to team video, which had no job before"]
    assert warned("video") == warned("default") == []
    assert warned("vidoe") == ["it is charged to team vidoe, which had no job before; did you mean 'video'?"]
    assert warned("defautl") == ["it is charged to team defautl, which had no job before; did you mean 'default'?"]


@pytest.mark.parametrize(("teams", "error"), [(["video"], None), (["speech"], NotAllowed), ([], NotAllowed)])
def test_a_person_charges_only_the_teams_of_their_token(
    world: World, teams: list[str], error: type[OrchestratorError] | None
) -> None:
    request = world.request("start", "succeed", team="video")
    if error is None:
        assert world.service.submit(request, "ann", teams=teams).job.team == "video"
        return
    with pytest.raises(error, match="does not let you charge team video"):
        world.service.submit(request, "ann", teams=teams)


def test_all_that_a_person_may_not_do_is_told_at_once(world: World) -> None:
    request = world.request("start", "succeed", team="video", priority=20)
    with pytest.raises(NotAllowed) as error:
        world.service.submit(request, "ann", highest=0, teams=["speech"])
    assert "priority 20 needs the role operator" in error.value.message
    assert "does not let you charge team video" in error.value.message


def test_quotas_that_are_asked_back_again_and_again_stop_nobody_before_their_time(tmp_path: Path) -> None:
    """Borrowers take what is idle, and give it back to a stream of short jobs of the team that owns it."""
    rules = {"for_whom": "quota", "min_run": 5}
    teams = [{"name": "vision", "quota": 4}, {"name": "video", "quota": 4}]
    world = World(tmp_path, slots=8, profile={"teams": teams, "policy": {"preset": "fair", "preemption": rules}})
    command, two = ["start", *["wait"] * 200, "succeed"], {"workers": 2}
    borrowers = [world.submit(*command, team="video", resources=two) for _ in range(4)]
    owners: list[str] = []
    for second in range(110):
        if second % 20 == 10:
            owners.append(world.submit("start", *["wait"] * 8, "succeed", team="vision", resources=two))
        world.step(seconds=1)
        holding = sum(2 for job in borrowers if world.state(job) in {"starting", "running"})
        assert holding >= 4, "the quota of the borrowers' own team"
    told = [
        (e.time, e.data["for"], job) for job in borrowers for e in world.service.events(job) if e.kind == "stopping"
    ]
    stops = sorted(told)
    assert [owner for _, owner, _ in stops] == owners, "each stop let one job in; nobody who came back stopped anybody"
    assert all(one[2] != next_one[2] for one, next_one in pairwise(stops)), "nobody was stopped twice in a row"
    for job in borrowers:
        stopped = [run for run in world.job(job).runs if run.ended_at is not None]
        lived = [run.ended_at - run.created_at for run in stopped if run.ended_at is not None]
        assert all(seconds >= 5 * (1 + before) for before, seconds in enumerate(lived)), lived
    assert all(world.state(owner) == "succeeded" for owner in owners)
