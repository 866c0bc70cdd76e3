"""Golden snapshots: decisions and explanations are those that were read and found right.

Each file in tests/scheduling/golden holds a policy, a snapshot, and what is decided and said of it. Where a change is
meant, write the files anew with `ORCHESTRATOR_WRITE_GOLDEN=1 pytest tests/scheduling/explain/test_explain_golden.py`
and read their difference before it is committed.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from orchestrator.lifecycle.reasons import Waiting
from orchestrator.scheduling.codec import dump, load_snapshot, plain
from orchestrator.scheduling.explain import explain, explain_running
from orchestrator.scheduling.explain.types import Explanation, Remedy
from orchestrator.scheduling.fold import decide
from orchestrator.scheduling.snapshot import Snapshot
from orchestrator.spec.policy import Policy

GOLDEN = sorted((Path(__file__).parents[1] / "golden").glob("*.json"))


def said(snapshot: Snapshot, policy: Policy) -> dict[str, Any]:
    waiting = sorted(job.id for job in snapshot.pending)
    running = sorted(run.job.id for run in snapshot.running)
    return {
        "decisions": plain(decide(snapshot, policy)),
        "waiting": {job: told(explain(snapshot, policy, job)) for job in waiting},
        "running": {job: explain_running(snapshot, policy, job) for job in running},
    }


def told(found: Explanation) -> dict[str, Any]:
    return {**plain(found), "remedies": [cure(remedy) for remedy in found.remedies]}


def cure(remedy: Remedy) -> str:
    return f"{remedy.kind}: {remedy.text}" + (f" [{remedy.command}]" if remedy.command else "")


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_what_is_decided_and_said_is_what_was_found_right(path: Path) -> None:
    golden = json.loads(path.read_text())
    snapshot = load_snapshot(json.dumps(golden["snapshot"]))
    policy = Policy.model_validate(golden["policy"])
    found = said(snapshot, policy)
    if os.environ.get("ORCHESTRATOR_WRITE_GOLDEN"):
        path.write_text(dump({**golden, **found}))
    assert {key: json.loads(path.read_text())[key] for key in found} == found


def test_every_kind_of_reason_that_the_scheduler_has_is_among_them() -> None:
    found = {why["kind"] for path in GOLDEN for why in json.loads(path.read_text())["waiting"].values()}
    assert found == set(Waiting) - {Waiting.ENGINE, Waiting.FULL, Waiting.HANDED}


def test_each_golden_snapshot_is_written_as_it_was_read() -> None:
    for path in GOLDEN:
        snapshot = json.loads(path.read_text())["snapshot"]
        assert plain(load_snapshot(json.dumps(snapshot))) == snapshot
