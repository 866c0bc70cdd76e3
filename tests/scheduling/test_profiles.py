"""What the scheduler makes of a cluster profile."""

from orchestrator.scheduling.cluster import Window
from orchestrator.scheduling.profiles import teams_of, windows_of
from orchestrator.scheduling.teams import Team
from orchestrator.spec.profile import ClusterProfile

PROFILE = ClusterProfile.model_validate(
    {
        "name": "lab",
        "backend": "local",
        "nodes": [{"name": "a"}, {"name": "b"}],
        "teams": [{"name": "vision"}, {"name": "video", "parent": "vision", "weight": 2.0, "quota": 4, "limit": 8}],
        "maintenance": [
            {"nodes": ["a", "b"], "start": 500, "end": 600, "why": "new fans"},
            {"nodes": ["a"], "start": 100, "end": 200},
        ],
    }
)


def test_windows_come_in_order_of_time_by_node() -> None:
    fans = Window(500, 600, "new fans")
    assert windows_of(PROFILE) == {"a": (Window(100, 200), fans), "b": (fans,)}


def test_windows_that_are_over_are_left_out() -> None:
    assert windows_of(PROFILE, 200) == {"a": (Window(500, 600, "new fans"),), "b": (Window(500, 600, "new fans"),)}
    assert windows_of(PROFILE, 600) == {}


def test_teams_keep_what_the_profile_says_of_them() -> None:
    assert teams_of(PROFILE) == (Team("vision"), Team("video", "vision", 2.0, 4, 8))
