"""Hashes of each step for the audit trail: its samples, the mean gradient, the parameters after it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeGuard

import torch

from orchestrator.rundir.audit import AuditWriter, StepAudit
from orchestrator.training.batching import StepBatch
from orchestrator.training.digest import joint_digest, tensor_digests
from orchestrator.training.group import Group
from orchestrator.training.holding import Holding

if TYPE_CHECKING:
    from torch.distributed.tensor import DTensor


WRITERS = 2
"""How many members of a view write, the first ones: what one had not written when it was killed, the other has."""


class Auditor:
    """Audits a training; every worker takes part, the first members of each view write.

    Args:
        writer: where to.
        holding: what is trained.
    """

    def __init__(self, writer: AuditWriter, holding: Holding) -> None:
        self._writer, self._holding = writer, holding

    def gradient(self, group: Group) -> str:
        """Hash of the mean gradient that the layout holds; before the update, which may change it."""
        gradients = dict(self._holding.layout.gradients())
        offsets = _offsets(self._holding.checkpointed())
        mine = {name: offsets[f"model/{name}"] for name in gradients if f"model/{name}" in offsets}
        return joint_digest(tensor_digests(gradients, mine, group))

    def step(self, epoch: int, batch: StepBatch, gradient: str, group: Group) -> None:
        """Write down the step that was made last.

        Args:
            epoch: of the data.
            batch: what it used.
            gradient: its hash; empty where there was no update.
            group: the workers.
        """
        whole = self._holding.checkpointed()
        model = {name: tensor for name, tensor in whole.items() if name.startswith("model/")}
        local = {name.removeprefix("model/"): _local(tensor) for name, tensor in model.items()}
        offsets = {name.removeprefix("model/"): offset for name, offset in _offsets(model).items()}
        parameters = tensor_digests(local, offsets, group)
        if group.rank < WRITERS:
            self._writer.add(
                StepAudit(
                    step=self._holding.state.position.steps - 1,
                    epoch=epoch,
                    world=group.size,
                    view=group.epoch,
                    samples=samples_digest(epoch, batch),
                    gradient=gradient,
                    parameters=parameters,
                )
            )


def samples_digest(epoch: int, batch: StepBatch) -> str:
    """Hash of the positions of all slices, with epoch and form."""
    digest = hashlib.sha256(f"{epoch} {batch.form}\n".encode())
    for positions in batch.slices:
        digest.update(f"{len(positions)}\n".encode() + positions.astype("<i8").tobytes())
    return digest.hexdigest()


def _sharded(tensor: torch.Tensor) -> TypeGuard[DTensor]:
    return hasattr(tensor, "device_mesh")  # importing the class costs 2 s where nothing is sharded


def _local(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to_local() if _sharded(tensor) else tensor


def _offsets(tensors: Mapping[str, torch.Tensor]) -> dict[str, int]:
    """Where this worker's shard begins in each tensor that is sharded by rows, counted in elements."""
    found = {}
    for name, tensor in tensors.items():
        if _sharded(tensor):
            from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

            _, starts = compute_local_shape_and_global_offset(tensor.shape, tensor.device_mesh, tensor.placements)
            found[name] = starts[0] * tensor.shape[1:].numel()
    return found
