"""`why`, `queue`, `priority`, `hold`, `release` and `cluster`, against a fake service."""

import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from api_fakes import NOW, TOKENS, FakeService, line

from orchestrator.cli.human import point
from orchestrator.cli.nodetext import drain_sentence, node_sentence, node_table
from orchestrator.cli.queuetext import expected_text, queue_text
from orchestrator.cli.whytext import what_if_text, why_text
from orchestrator.spec.answers import (
    Delay,
    EstimateView,
    Moment,
    NodeView,
    Option,
    Remedy,
    WhatIfView,
    WhyView,
    WindowView,
)


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Times as in Greenwich; NOW is 1970-01-12 13:46:40."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


WHY = """\
j-a  sweep  queued
  why        needs 4 gpu slots; 2 of 8 free
  since      1970-01-12 13:45:00 (1m 40s)
  starts     13:56, in 10m 00s (13:51 to 14:16)
  position   2 of 5
  before it  1. j-first sweep (team vision, priority 5, 1 x 1..4)

what would start it:
  - raise its priority to 6
      orchestrator priority j-a 6
"""

QUEUE = """\
cluster local, policy default: 4 of 8 gpu slots used, 2 free, 1 kept for who they were freed for, 1 on nodes that take \
nothing new; 1 job on them, 3 waiting (1 held)

TEAM    GPU SLOTS  RUN  WAIT  WEIGHT  SHARE  RECENT  QUOTA  LIMIT
vision          4    1     3       1    50%     75%      4

JOB    NAME   TEAM    PRIO  STATE     WANTS  HAS    RUNS  ENDS   WHAT IT IS ASKED
j-run  sweep  vision     0  running  1 x 1..4   2*  1h 00m  14:01

#  JOB     NAME   TEAM    PRIO  STATE      WANTS   WAITS  STARTS  WHY IT WAITS
1  j-wait  sweep  vision     0  queued  1 x 1..4  1m 40s  14:01   needs 4; 2 free

… and 2 more wait (--all shows them)
"""


def squeezed(text: str) -> list[str]:
    return [" ".join(row.split()) for row in click.unstyle(text).splitlines()]


@pytest.mark.usefixtures("live")
def test_why_tells_the_reason_the_time_the_place_and_the_remedy(cli, service: FakeService) -> None:
    service.add("j-a")
    outcome = cli("why", "j-a")
    assert (outcome.code, outcome.out) == (0, WHY)
    assert cli("why", "j-a", "--json").document["data"]["remedies"][0]["proved"] is True


def test_why_of_a_running_job_tells_its_width_and_who_chose_it() -> None:
    why = WhyView(
        job="j-a",
        name="n",
        state="running",
        now=NOW,
        reason="holds 4 gpu slots on a (4)",
        details=["1970-01-12 13:00:00 UTC: asked to resize from 2 to 4 workers"],
        since=NOW - 60,
        workers=4,
        pinned=True,
        preemptions=2,
        expected_end=Moment(at=NOW + 3600, earliest=NOW + 1800, latest=NOW + 90_000),
        remedies=[Remedy(text="let the policy choose its width again", command="orchestrator resize j-a --auto")],
    )
    assert why_text(why).splitlines()[1:] == [
        "  why        holds 4 gpu slots on a (4)",
        "             1970-01-12 13:00:00 UTC: asked to resize from 2 to 4 workers",
        "  since      1970-01-12 13:45:40 (1m 00s)",
        "  width      4 workers: a person chose that, and the policy leaves it alone",
        "  ends       14:46, in 1h 00m (14:16 to Tue 14:46)",
        "  preempted  2 times so far",
        "",
        "what to do:",
        "  - let the policy choose its width again",
        "      orchestrator resize j-a --auto",
    ]


def test_foreign_text_in_an_answer_is_inert() -> None:
    why = WhyView(job="j-a", name="\x1b[31mred\n", state="queued", now=NOW, reason="x\x1b]0;owned\x07\ny")
    assert click.unstyle(why_text(why)).splitlines() == [
        "j-a  red  queued",
        "  why        x y",
        "  starts     not known",
    ]


@pytest.mark.usefixtures("live")
def test_the_queue_is_a_line_for_all_slots_and_a_table_each_for_what_runs_and_what_waits(
    cli, service: FakeService
) -> None:
    outcome = cli("queue", "--teams")
    assert outcome.code == 0
    assert squeezed(outcome.out) == squeezed(QUEUE)
    assert service.questions.asked_queue == [(None, 50)]


@pytest.mark.usefixtures("live")
def test_the_whole_queue_of_one_team_can_be_asked_for(cli, service: FakeService) -> None:
    document = cli("queue", "--team", "vision", "--all", "--json").document
    assert document["data"]["waiting"][0]["reason"] == "needs 4; 2 free"
    assert service.questions.asked_queue == [("vision", None)]


def test_the_first_lines_of_a_teams_queue_tell_the_clusters_slots_and_the_teams_jobs_apart(
    service: FakeService,
) -> None:
    view = service.questions.queue().model_copy(update={"team": "vision"})
    first, second, *_ = queue_text(view, teams=False).splitlines()
    assert first.startswith("cluster local, policy default: 4 of 8 gpu slots used")
    assert first.endswith("1 on nodes that take nothing new")
    assert second == "team vision: 1 job on 2 of them, 3 waiting (1 held)"


@pytest.mark.usefixtures("live")
def test_a_queue_that_was_saved_is_explained_without_a_server(
    cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = str(tmp_path / "queue.json")
    saved = cli("queue", "--snapshot", file)
    assert (saved.code, "orchestrator why JOB --snapshot" in saved.out) == (0, True)
    monkeypatch.setattr("orchestrator.cli.commands.why.connect", lambda: pytest.fail("a server was asked"))
    why = cli("why", "j-1", "--snapshot", file)
    assert why.code == 0
    assert "needs 4 gpu slots on nodes of 2" in why.out
    assert cli("queue", "--snapshot", str(tmp_path / "none" / "queue.json")).code == 2


@pytest.mark.parametrize("options", [("--team", "vision"), ("--all",), ("--teams",)])
@pytest.mark.usefixtures("live")
def test_only_the_whole_queue_is_saved(cli, tmp_path: Path, options: tuple[str, ...]) -> None:
    file = tmp_path / "queue.json"
    refused = cli("queue", "--snapshot", str(file), *options)
    assert (refused.code, "leave --team, --all and --teams out" in refused.err) == (2, True)
    assert not file.exists()


def test_a_held_job_and_an_unknown_start_are_shown_as_such(service: FakeService) -> None:
    view = service.questions.queue()
    held = line("j-held", state="held", position=3, reason="held by otto")
    text = queue_text(view.model_copy(update={"waiting": [held], "running": []}), teams=False)
    assert squeezed(text)[-3].endswith("held 1 x 1..4 1m 40s ? held by otto")


@pytest.mark.parametrize(
    ("moment", "short", "whole"),
    [
        (None, "?", "not known"),
        (Moment(at=NOW), "now", "now"),
        (Moment(at=NOW + 90), "13:48", "13:48, in 1m 30s"),
        (
            Moment(at=NOW + 90, by_limit=True),
            "by 13:48",
            "by 13:48 at the latest, in 1m 30s: by a time limit, nobody knows how long it really takes",
        ),
        (
            Moment(at=NOW + 90, stops=True),
            "stops 13:48",
            "stops 13:48, in 1m 30s: maintenance begins then; it goes back into the queue",
        ),
        (Moment(at=NOW + 90, earliest=NOW + 80, latest=NOW + 100), "13:48", "13:48, in 1m 30s"),
        (Moment(at=NOW + 90, earliest=NOW - 5, latest=NOW + 990), "13:48", "13:48, in 1m 30s (13:46 to 14:03)"),
    ],
)
def test_expected_times_say_how_sure_they_are(moment: Moment | None, short: str, whole: str) -> None:
    assert expected_text(moment, NOW) == short
    assert expected_text(moment, NOW, whole=True) == whole


def test_points_in_time_leave_out_what_goes_without_saying() -> None:
    assert [point(NOW + s, NOW) for s in (0, 86_400, 20 * 86_400)] == ["13:46", "Tue 13:46", "1970-02-01 13:46"]


@pytest.mark.usefixtures("live")
def test_a_priority_is_changed_and_told(cli, service: FakeService) -> None:
    service.add("j-a")
    assert cli("priority", "j-a", "-7").out == "j-a queued, priority -7\n"
    assert cli("priority", "j-a", "1000", "--json").document["data"]["priority"] == 1000
    assert service.asked == [("priority", "j-a", "-7", "root"), ("priority", "j-a", "1000", "root")]


@pytest.mark.usefixtures("live")
@pytest.mark.parametrize("priority", ["1001", "-1001", "high", "1.5", "9" * 5000, ""])
def test_no_priority_is_refused_by_name(cli, service: FakeService, priority: str) -> None:
    service.add("j-a")
    outcome = cli("priority", "j-a", priority)
    assert outcome.code == 2
    assert "is no priority" in outcome.err
    assert "from -1000 to 1000" in outcome.err
    assert service.asked == []


@pytest.mark.usefixtures("live")
def test_a_researcher_who_raises_a_priority_is_told_which_role_it_takes(
    cli, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.add("j-a")
    monkeypatch.setenv("ORCHESTRATOR_TOKEN", TOKENS["researcher"])
    outcome = cli("priority", "j-a", "5")
    assert outcome.code == 4
    assert "needs the role operator" in outcome.err


@pytest.mark.usefixtures("live")
def test_several_jobs_are_held_and_released_and_what_fails_keeps_none_of_the_others(cli, service: FakeService) -> None:
    service.add("j-a")
    service.add("j-b", state="running", name="b")
    service.add("j-c", name="c")
    outcome = cli("hold", "j-a", "j-b", "j-c")
    assert outcome.code == 6
    assert outcome.out == "j-a held\nj-c held\n"
    assert "job j-b is running" in outcome.err
    assert cli("release", "j-a", "j-c").out == "j-a queued\nj-c queued\n"
    assert [asked[:2] for asked in service.asked] == [
        ("hold", "j-a"),
        ("hold", "j-c"),
        ("release", "j-a"),
        ("release", "j-c"),
    ]


@pytest.mark.usefixtures("live")
def test_a_width_is_pinned_by_a_resize_and_handed_back_by_auto(cli, service: FakeService) -> None:
    service.add("j-a", state="running")
    service.script["j-a"] = ["running"] * 6
    assert "it keeps that width until `orchestrator resize j-a --auto`" in cli("resize", "j-a", "2").out
    outcome = cli("resize", "j-a", "--auto")
    assert outcome.code == 0
    assert "its width is chosen for it again, within " in outcome.out
    assert service.resized == [("j-a", 2), ("j-a", None)]


@pytest.mark.usefixtures("live")
@pytest.mark.parametrize("arguments", [[], ["2", "--auto"]])
def test_resize_takes_a_number_or_auto(cli, service: FakeService, arguments: list[str]) -> None:
    service.add("j-a", state="running")
    outcome = cli("resize", "j-a", *arguments)
    assert outcome.code == 2
    assert "a number of workers, or --auto" in outcome.err
    assert service.resized == []


def test_nodes_are_a_line_each_with_who_drained_them_and_what_is_planned() -> None:
    window = WindowView(start=NOW + 3600, end=NOW + 7200, why="new switch")
    past = WindowView(start=NOW - 7200, end=NOW - 3600, why="old")
    many = {f"j-{i}": 1 for i in range(6)}
    nodes = [
        NodeView(name="a", state="up", slots=8, used=6, free=1, claimed=1, gpu_type="h200", rack="r1", jobs=many),
        NodeView(name="b", state="drained", slots=8, used=0, free=0, note="fan", by="otto", since=NOW - 60),
        NodeView(name="c", state="up", slots=8, used=0, free=8, windows=[past, window]),
    ]
    assert squeezed(node_table(nodes, NOW)) == [
        "NODE STATE SLOTS USED FREE KEPT TYPE RACK JOBS NOTE",
        "a up 8 6 1 1 h200 r1 j-0 (1), j-1 (1), j-2 (1), j-3 (1) and 2 more",
        "b drained 8 0 0 gpu fan; by otto since 13:45",
        "c up 8 0 8 gpu maintenance (new switch) 14:46 to 15:46",
    ]


@pytest.mark.usefixtures("live")
def test_a_node_is_drained_emptied_and_resumed(cli, service: FakeService) -> None:
    assert "a up" in squeezed(cli("cluster", "nodes").out)[1]
    outcome = cli("cluster", "drain", "a", "--note", "fan is loud", "--now")
    stops = "1 job on it is asked to save its state and stop: j-run (2); it goes back to its place in the queue"
    assert outcome.out == f"a up; {stops}\n"
    assert "orchestrator cluster resume a" in outcome.err
    assert "nothing was changed: it was not drained, but up" in cli("cluster", "resume", "a").out
    assert service.asked == [("drain", "a", "fan is loud", "root"), ("evict", "a", "root"), ("resume", "a", "root")]


def test_a_drain_says_what_becomes_of_the_jobs_on_the_node() -> None:
    node = NodeView(name="a", state="drained", slots=8, used=4, free=4, jobs={"j-1": 2, "j-2": 1, "j-3": 1})

    def told(node: NodeView, *, now: bool) -> str:
        return click.unstyle(drain_sentence(node, now=now))

    assert told(node, now=False) == "a drained; 3 jobs on it, left to end: j-1 (2), j-2 (1), j-3 (1)"
    assert told(node.model_copy(update={"stopped": ["j-1", "j-2"]}), now=True) == (
        "a drained; 2 jobs on it are asked to save their state and stop: j-1 (2), j-2 (1); "
        "they go back to their places in the queue; 1 job on it asked before: j-3 (1)"
    )
    assert told(node.model_copy(update={"jobs": {}}), now=True) == "a drained; nothing runs on it"
    unsaved = {"j-2": 285.0, "j-3": 9.0}
    assert told(node.model_copy(update={"unsaved": unsaved}), now=False).endswith(
        "; --now would stop without saving any state, commands to start from the beginning: "
        "j-2 (after 4m 45s), j-3 (after 9s)"
    )
    assert told(node.model_copy(update={"stopped": ["j-1", "j-2", "j-3"], "unsaved": unsaved}), now=True) == (
        "a drained; 1 job on it is asked to save its state and stop: j-1 (2); it goes back to its place in the queue; "
        "2 jobs on it are stopped without saving their state: j-2 (after 4m 45s), j-3 (after 9s); "
        "they go back to their places in the queue, commands to start from the beginning"
    )


def test_a_node_that_is_resumed_in_maintenance_says_until_when_nothing_starts_there() -> None:
    window = WindowView(start=NOW - 60, end=NOW + 600, why="new switch")
    node = NodeView(name="a", state="maintenance", slots=8, used=0, free=0, windows=[window])
    assert click.unstyle(node_sentence(node, NOW)) == (
        "a maintenance: nothing starts there until 13:56; nothing runs on it"
    )


@pytest.mark.usefixtures("live")
def test_an_unknown_node_is_refused_with_the_known_ones(cli, service: FakeService) -> None:
    outcome = cli("cluster", "drain", "nope")
    assert outcome.code == 5
    assert "cluster local has no node 'nope'" in outcome.err
    assert "its nodes: a, b" in outcome.err
    assert service.asked == []


@pytest.mark.parametrize("name", ["nodes", "drain", "resume"])
def test_every_cluster_command_has_help_and_json(cli, name: str) -> None:
    assert "--json" in cli("cluster", name, "--help").out


def test_what_if_is_a_line_for_each_width() -> None:
    start = Moment(at=NOW + 600, earliest=NOW + 300, latest=NOW + 900)
    delays = [Delay(job=f"j-{i}", seconds=60 * i, by_limit=i == 3) for i in (3, 2, 1)]
    options = [
        Option(workers_min=4, workers_max=8, slots=2, start=Moment(at=NOW), end=Moment(at=NOW + 3600), workers=4),
        Option(workers_min=8, workers_max=8, slots=2, start=start, delayed=5, delays=delays, reason="needs 16, 8 free"),
        Option(workers_min=99, workers_max=99, slots=2, reason="too large for the cluster"),
        Option(workers_min=1, workers_max=1, slots=2, stopped=["j-9"], shrunk=["j-8"]),
    ]
    view = WhatIfView(
        now=NOW,
        profile="p",
        policy="default",
        live=True,
        position=3,
        waiting=7,
        estimate=EstimateView(seconds=3600, error=0.7),
        options=options,
        notes=["one more thing"],
    )
    assert squeezed(what_if_text(view)) == [
        "in the queue of cluster p (policy default):",
        "run time 1h 00m with the most workers, give or take a factor of 2.0",
        "position 3 of 8",
        "WORKERS SLOTS STARTS ENDS IT WOULD DELAY WHY",
        "4..8 (4 at first) 8..16 now 14:46 nobody",
        "8 16 13:56, in 10m 00s (13:51 to 14:01) "
        "j-3 by up to 3m 00s (time limits), j-2 by 2m 00s, j-1 by 1m 00s and 2 more needs 16, 8 free",
        "99 198 not in sight nobody too large for the cluster",
        "1 2 not in sight stops j-9, shrinks j-8",
        "note one more thing",
    ]


def test_what_if_tells_the_earliest_end_first_and_leaves_out_what_is_worse_unless_it_was_asked_for() -> None:
    options = [
        Option(workers_min=1, workers_max=2, slots=1, end=Moment(at=NOW + 900)),
        Option(workers_min=1, workers_max=1, slots=1, end=Moment(at=NOW + 600)),
        Option(workers_min=4, workers_max=4, slots=1, end=Moment(at=NOW + 990), worse=True),
    ]
    view = WhatIfView(now=NOW, profile="p", policy="fifo", live=False, options=options)
    workers = [line.split("  ")[0] for line in map(str.strip, what_if_text(view).splitlines()[1:])]
    assert workers == ["WORKERS", "1", "1..2, as written", "left out"]
    assert "left out" not in what_if_text(view, [4])
    one = view.model_copy(update={"options": [options[0], options[1].model_copy(update={"worse": True})]})
    assert "left out   1 worker: " in what_if_text(one)


@pytest.mark.usefixtures("live")
def test_status_tells_a_pinned_width_preemptions_and_the_expected_start(cli, service: FakeService) -> None:
    service.add("j-a", state="running")
    service.jobs["j-a"] = service.jobs["j-a"].model_copy(update={"pinned": True, "preemptions": 2})
    out = cli("status", "j-a").out
    assert "width      a person chose it" in out
    assert "preempted  2 times" in out
    service.add("j-b", name="b")
    service.jobs["j-b"] = service.jobs["j-b"].model_copy(update={"expected_start": time.time() + 7230})
    assert "in 2h 00m (`orchestrator why j-b`)" in cli("status", "j-b").out


def test_each_fact_of_a_long_reason_has_its_own_line() -> None:
    short = "needs 2 cpu slots; 0 free; nobody knows when more will be"
    long = f"{short}; team video holds 4 within its quota of 4: nobody of another team has them stopped"
    whys = [WhyView(job="j-a", name="n", state="running", now=NOW, reason=reason) for reason in (short, long)]
    assert squeezed(why_text(whys[0]))[1:] == [f"why {short}"]
    facts = long.split("; ")
    assert squeezed(why_text(whys[1]))[1:] == [f"why {facts[0]}", *facts[1:]]


def test_where_no_remedy_was_found_that_is_said() -> None:
    why = WhyView(job="j-a", name="n", state="queued", now=NOW, reason="needs 2, 0 free", position=3, queue=5)
    assert why_text(why).splitlines()[-1].startswith("what would start it: nothing that was tried")
