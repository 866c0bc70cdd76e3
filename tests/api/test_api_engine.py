"""The server's inside, opened on a store that is there already."""

from pathlib import Path

import pytest

from orchestrator.api.engine import open_engine
from orchestrator.backends.local import LocalBackend
from orchestrator.base.errors import Conflict, StoreError
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


def test_the_engine_is_let_go_of_with_the_store_and_where_that_cannot_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_STATE_DIR", str(tmp_path))
    closed: list[LocalBackend] = []
    monkeypatch.setattr(LocalBackend, "close", lambda backend: closed.append(backend))
    profile = load_profile("local")
    with open_engine(profile) as engine:
        assert closed == []
    assert closed == [engine.backend]
    (tmp_path / "orchestrator.db").write_bytes(b"no database" * 100)
    with pytest.raises(StoreError), open_engine(profile):
        pass
    assert len(closed) == 2
