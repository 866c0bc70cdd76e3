"""Teams at submit: who is one, who may charge which, and what one can never hold."""

from __future__ import annotations

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
    with pytest.raises(UsageError, match="needs at least 5 slots; team lab may hold 4"):
        world.submit("start", "succeed", team=team, resources={"workers": 5})
    assert world.state(world.submit("start", "succeed", team=team, resources={"workers": 4})) == "queued"
    assert world.state(world.submit("start", "succeed", team="speech", resources={"workers": 8})) == "queued"


def test_a_team_that_the_profile_does_not_name_is_refused(world: World) -> None:
    with pytest.raises(UsageError, match=r"has no team 'vide0'; did you mean 'video'"):
        world.submit("start", "succeed", team="vide0")
    with pytest.raises(UsageError, match="has no team 'default'"):
        world.submit("start", "succeed")
    assert world.service.list() == []


def test_a_profile_without_teams_takes_any(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert world.job(world.submit("start", "succeed", team="video")).team == "video"


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
