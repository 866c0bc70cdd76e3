"""The files of a checkpoint are those of torch.distributed.checkpoint, whose own reader reads them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from checkpoint_workers import ALONE, on_workers, save

from orchestrator.training.checkpoint import CheckpointStore


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
def test_its_own_reader_reads_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint.filesystem import _StorageInfo
    from torch.distributed.checkpoint.metadata import MetadataIndex

    from orchestrator.training.checkpoint.resharding import metadata_of

    monkeypatch.setattr("orchestrator.training.checkpoint.pieces.ALONE_BYTES", 50)
    whole = {"model/w": torch.randn(7, 5), "model/n": torch.tensor(3), "optimizer/m/w": torch.randn(7, 5)}
    on_workers(2, lambda group: CheckpointStore(tmp_path).begin(1, whole, {}, group).wait())
    found = CheckpointStore(tmp_path).read_whole(1)
    metadata = metadata_of(found.manifest)
    metadata.storage_data = {
        MetadataIndex(name, chunk.offsets): _StorageInfo(chunk.file, chunk.offset, chunk.length)
        for name, entry in found.manifest.tensors.items()
        for chunk in entry.chunks
    }
    (Path(found.path) / ".metadata").write_bytes(pickle.dumps(metadata))
    into: dict[str, Any] = {name: torch.zeros_like(tensor) for name, tensor in whole.items()}
    dcp.load(into, checkpoint_id=found.path, no_dist=True)
    assert all(torch.equal(into[name], whole[name]) for name in whole)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_state_on_a_gpu_is_copied_before_it_changes(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    weights = torch.full((1000, 1000), 7.0, device="cuda")
    for samples in (1, 2):
        saving = store.begin(samples, {"w": weights}, {}, ALONE)
        weights.zero_()
        saving.wait()
        store.load(store.read_whole(samples), {"w": weights}, ALONE)
        assert weights.eq(7).all()


def test_copies_are_made_in_the_memory_of_the_last_ones(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    weights = {"w": torch.ones(1000)}
    save(store, 1, weights)
    kept = [id(buffer) for free in store._buffers._free.values() for buffer in free]
    save(store, 2, weights)
    assert kept == [id(buffer) for free in store._buffers._free.values() for buffer in free]
    save(store, 3, {"v": torch.ones(5)})
    assert [buffer.shape for free in store._buffers._free.values() for buffer in free] == [(5,)]
