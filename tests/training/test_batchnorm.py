"""Statistics per slice, running statistics in slice order."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from orchestrator.base.errors import UsageError
from orchestrator.training.batchnorm import SliceStatistics

CPU = torch.device("cpu")


def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 3, 1), nn.BatchNorm2d(3, momentum=0.3)
    )


def slices(*sizes: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(size, 2, 5, 5, generator=generator) for size in sizes]


def test_updating_from_captured_moments_is_what_torch_does_slice_after_slice() -> None:
    ours, torchs = model(), model()
    statistics = SliceStatistics(ours, CPU)
    rows = []
    for batch in slices(4, 3, 2):
        with statistics.capture(len(batch)):
            got = ours(batch)
        assert torch.equal(got, torchs(batch))
        rows.append(statistics.row.clone())
    statistics.update(torch.stack(rows))
    for (name, mine), theirs in zip(ours.state_dict().items(), torchs.state_dict().values(), strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-6, atol=1e-7), name


def test_capturing_leaves_the_running_statistics_alone() -> None:
    ours = model()
    before = {name: tensor.clone() for name, tensor in ours.state_dict().items()}
    statistics = SliceStatistics(ours, CPU)
    with statistics.capture(4):
        ours(slices(4)[0])
    assert all(torch.equal(before[name], tensor) for name, tensor in ours.state_dict().items())


def test_a_slice_of_one_sample_is_normalised_by_the_running_statistics() -> None:
    ours = model()
    statistics = SliceStatistics(ours, CPU)
    batch = slices(1)[0]
    with statistics.capture(1):
        got = ours(batch)
    assert torch.equal(got, ours.eval()(batch))


def test_a_model_without_batch_norm_has_no_statistics() -> None:
    statistics = SliceStatistics(nn.Linear(2, 2), CPU)
    assert not statistics
    assert statistics.row.numel() == 0
    statistics.update(torch.zeros(3, 0))


def test_cumulative_averages_are_refused() -> None:
    with pytest.raises(UsageError, match="momentum=None"):
        SliceStatistics(nn.BatchNorm1d(2, momentum=None), CPU)


def test_a_layer_in_evaluation_mode_keeps_and_uses_its_running_statistics() -> None:
    ours = model()
    ours[1].eval()
    before, statistics, batch = ours[1].running_mean.clone(), SliceStatistics(ours, CPU), slices(4)[0]
    expected = ours[1](ours[0](batch))
    with statistics.capture(4):
        assert torch.equal(ours[1](ours[0](batch)), expected)
        ours(batch)
    statistics.update(statistics.row.unsqueeze(0))
    assert torch.equal(ours[1].running_mean, before)
    assert ours[4].running_mean.any()


def test_recomputing_the_forward_pass_captures_the_same_moments() -> None:
    ours = model()
    statistics, batch = SliceStatistics(ours, CPU), slices(4)[0]
    rows = []
    for calls in (1, 2):
        with statistics.capture(4):
            for _ in range(calls):
                ours(batch)
        rows.append(statistics.row)
    assert torch.equal(*rows)


class Centred(nn.Module):
    """As DINO has it: another tensor is put in the buffer's place."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(2)
        self.register_buffer("center", torch.zeros(2))
        self.register_buffer("seen", None)

    def forward(self, x: torch.Tensor, how: str = "") -> torch.Tensor:
        match how:
            case "changes center":
                self.center.add_(1)
            case "replaces center":
                self.center = self.center * 0.9 + x.detach().mean(0) * 0.1
            case "replaces seen":
                self.seen = x.detach()
        return self.norm(x) - self.center


@pytest.mark.parametrize("how", ["changes center", "replaces center", "replaces seen"])
def test_a_forward_pass_that_changes_or_replaces_a_buffer_is_refused(how: str) -> None:
    ours = Centred()
    statistics = SliceStatistics(ours, CPU)
    for asked in ("", how):
        statistics.note_buffers()
        with statistics.capture(2):
            ours(torch.randn(2, 2), asked)
        if not asked:
            statistics.refuse_other_changes()
    with pytest.raises(UsageError, match=f"changes the buffer {how.split()[1]}"):
        statistics.refuse_other_changes()


def test_statistics_over_workers_are_refused() -> None:
    with pytest.raises(UsageError, match="SyncBatchNorm"):
        SliceStatistics(nn.SyncBatchNorm.convert_sync_batchnorm(model()), CPU)
