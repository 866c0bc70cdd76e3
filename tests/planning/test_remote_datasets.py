"""Plans and submits of workloads whose dataset lies at a URL."""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from orchestrator.backends.protocol import Capacity
from orchestrator.base.errors import DataError, NotFound, UsageError
from orchestrator.base.paths import bundled
from orchestrator.planning.check import check_submission
from orchestrator.planning.dataset import dataset_facts
from orchestrator.planning.remote import read_remote_index
from orchestrator.spec.load import load_profile
from orchestrator.testing.workloads import workload_in

HEADER = {
    "format": 1,
    "version": "f" * 64,
    "description": {"channels": 1, "classes": ["a", "b"], "mean": [0.5], "std": [0.2]},
    "columns": [["image", "image"], ["label", "label"]],
    "splits": {"validation": {"first_row": 100, "rows": 20}, "train": {"first_row": 0, "rows": 100}},
}


@pytest.fixture
def url() -> Iterator[str]:
    """A dataset's index on fsspec's file system in memory."""
    files = fsspec.filesystem("memory")
    files.pipe("/bucket/mini/index.json", json.dumps(HEADER).encode())
    yield "memory://bucket/mini"
    files.rm("/bucket", recursive=True)


def submit(dataset: str, tmp_path: Path, *overrides: str) -> list[str]:
    workload = workload_in(bundled("workloads") / "regnet_sweep.yaml", [f"data.dataset={dataset}", *overrides])
    profile = load_profile(bundled("cluster") / "local.yaml")
    capacity = Capacity(slots=2, free=2, largest_gang=2, slot_kind="cpu")
    return check_submission(workload, profile, capacity, workdir=tmp_path, state_dir=tmp_path)


def test_the_index_alone_says_what_a_plan_must_know(url: str, tmp_path: Path) -> None:
    facts = dataset_facts(url + "/", workdir=tmp_path, state_dir=tmp_path)
    assert (facts.rows, facts.channels, facts.classes) == ({"train": 100, "validation": 20}, 1, 2)
    assert list(facts.rows) == ["train", "validation"]
    assert facts.columns == {"image": "image", "label": "label"}
    assert (facts.built, facts.version) == (True, "f" * 64)


def test_a_workload_on_a_url_is_accepted(url: str, tmp_path: Path) -> None:
    submit(url, tmp_path)


def test_a_dataset_without_mean_and_std_needs_them_from_the_workload(url: str, tmp_path: Path) -> None:
    bare = HEADER | {"description": {"channels": 1, "classes": ["a", "b"], "mean": [], "std": []}}
    fsspec.filesystem("memory").pipe("/bucket/mini/index.json", json.dumps(bare).encode())
    with pytest.raises(UsageError, match=rf"data.mean and data.std are missing.*data stats {url}"):
        submit(url, tmp_path)
    submit(url, tmp_path, "data.mean=[0.5]", "data.std=[0.2]")
    with pytest.raises(UsageError, match=r"mean and std of 2 channels, and the images of .*/mini have 1"):
        submit(url, tmp_path, "data.mean=[0.5, 0.5]", "data.std=[0.2, 0.2]")


def test_a_url_without_a_dataset_refuses_the_submit(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no dataset at memory://nowhere/x"):
        submit("memory://nowhere/x", tmp_path)


def test_a_damaged_index_is_named(tmp_path: Path) -> None:
    fsspec.filesystem("memory").pipe("/broken/index.json", b'{"splits": ')
    with pytest.raises(DataError, match=r"memory://broken/index.json is damaged"):
        read_remote_index("memory://broken")
    fsspec.filesystem("memory").pipe("/broken/index.json", b"{}")
    with pytest.raises(DataError, match=r"memory://broken/index.json is damaged"):
        dataset_facts("memory://broken", workdir=tmp_path, state_dir=tmp_path)


def test_who_does_not_answer_is_waited_for_no_longer_than_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent:
        def cat_file(self, *place: Any, **part: Any) -> bytes:
            time.sleep(30)
            return b""

    monkeypatch.setattr(fsspec.core, "url_to_fs", lambda url, **options: (Silent(), url))
    began = time.monotonic()
    with pytest.raises(DataError, match=r"cannot be reached: no answer within 0\.1 s") as refused:
        read_remote_index("s3://bucket/x", seconds=0.1)
    assert time.monotonic() - began < 5
    assert "AWS_ENDPOINT_URL" in refused.value.hint


def test_without_fsspec_it_says_which_extra_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(UsageError) as refused:
        read_remote_index("s3://bucket/x")
    assert "orchestrator[s3]" in refused.value.hint


def test_an_unknown_kind_of_url_is_refused() -> None:
    with pytest.raises(UsageError, match="nosuch"):
        read_remote_index("nosuch://bucket/x")


def test_an_endpoint_that_nobody_listens_at_is_named_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    with pytest.raises((DataError, NotFound), match="s3://bucket/x cannot be reached"):
        read_remote_index("s3://bucket/x")
