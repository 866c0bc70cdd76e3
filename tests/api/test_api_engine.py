"""The server's inside, opened on a store that is there already."""

from pathlib import Path

import pytest

from orchestrator.api.engine import open_engine
from orchestrator.base.errors import Conflict
from orchestrator.spec.load import load_profile
from orchestrator.spec.messages import SubmitRequest


def test_a_server_refuses_to_start_while_jobs_of_another_profile_are_not_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("ORCHESTRATOR_SLOTS_DIR", str(tmp_path / "slots"))
    profile = load_profile("local")
    other = profile.model_copy(update={"name": "other"})
    with open_engine(profile) as engine:
        request = SubmitRequest(source="name: a\ncommand: [sleep, '0']\n", workdir=str(tmp_path))
        job = engine.service.submit(request, "somebody").job.id
    with pytest.raises(Conflict, match=job), open_engine(other):
        pass
    with open_engine(profile) as engine:
        engine.service.cancel(job)
    with open_engine(other):
        pass
