"""What a step leaves and tells: losses, flags, announcements, and what it does when memory or numbers run out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import pytest
import torch
from stepping_toys import Net, Rows, Toy, Worker, config, place
from torch import nn

from orchestrator.base.errors import UsageError
from orchestrator.training.group import Group, alone
from orchestrator.training.layout.replicated import ReplicatedLayout
from orchestrator.training.passes import SlicePasses
from orchestrator.training.precision import GROWTH_STEPS, LossScale
from orchestrator.training.step import Stepper, StepState
from orchestrator.training.table import MOST_LOSSES, Flags
from orchestrator.training.task import Losses, Request

SIZES = (2, 2, 2, 2)


@pytest.fixture
def group() -> Group:
    return alone(torch.device("cpu"))


def restarted(worker: Worker, state: StepState) -> None:
    worker.stepper = Stepper(
        worker.task, worker.layout, worker.settings, worker.group, device=worker.group.device, state=state
    )


def test_the_gradient_is_the_mean_over_all_samples(group: Group) -> None:
    worker = Worker(Toy("gn"), config(), group)
    for block in worker.layout.model.blocks:
        block.drop.p = 0.0
    at = place(0, (2, 2, 1, 0))
    result = worker.stepper.step(at, flags=Flags())
    ours = {name: gradient.clone() for name, gradient in worker.layout.gradients().items()}
    batch = worker.task.load(Request("train", 0, torch.cat([torch.from_numpy(s) for s in at.batch.slices]).numpy()))
    loss = worker.task.loss(worker.layout.model, batch)
    loss.backward()
    assert result.samples == 5
    assert result.loss == pytest.approx(loss.item(), rel=1e-5)
    for name, parameter in worker.layout.model.named_parameters():
        if parameter.grad is not None:
            assert torch.allclose(ours[name], parameter.grad / 5, rtol=1e-4, atol=1e-6), name


def test_parameters_that_no_sample_touched_have_gradients_of_zero_and_frozen_ones_have_none(group: Group) -> None:
    worker = Worker(Toy(), config(), group)
    worker.step(place(0, SIZES))
    gradients = worker.layout.gradients()
    assert not gradients["unused.weight"].any()
    assert "frozen.weight" not in gradients
    assert gradients.keys() == worker.layout.parameters().keys()


def test_losses_with_names_are_told_apart_and_their_sum_is_trained(group: Group) -> None:
    result = Worker(Toy(named=True), config(), group).step(place(0, SIZES))
    assert list(result.losses) == ["first", "second"]
    assert result.loss == pytest.approx(sum(result.losses.values()), rel=1e-6)


def test_a_loss_without_a_name_is_told_once(group: Group) -> None:
    assert not Worker(Toy(), config(), group).step(place(0, SIZES)).losses


def test_too_many_losses_are_refused(group: Group) -> None:
    class Many(Toy):
        def loss(self, model: nn.Module, batch: Rows) -> Losses:
            return {str(number): model(batch.inputs).sum() for number in range(MOST_LOSSES + 1)}

    with pytest.raises(UsageError, match="17 losses"):
        Worker(Many(), config(), group).step(place(0, SIZES))


def test_flags_come_back(group: Group) -> None:
    flags = Flags(stop=True, view=7, checkpoint=3)
    assert Worker(Toy(), config(), group).step(place(0, SIZES), flags).flags == flags


def test_a_step_of_corrupt_samples_alone_counts_none_and_has_gradients_of_zero(group: Group) -> None:
    worker = Worker(Toy(), config(), group)
    result = worker.step(place(0, SIZES, corrupt=(0, 1, 2, 3)))
    assert (result.samples, result.loss) == (0, 0.0)
    assert not any(gradient.any() for gradient in worker.layout.gradients().values())


def test_a_loss_that_is_no_number_is_said_and_raises_nothing(group: Group) -> None:
    class Wrong(Toy):
        def loss(self, model: nn.Module, batch: Rows) -> Losses:
            return model(batch.inputs).sum() * float("nan")

    assert not Worker(Wrong(), config(), group).step(place(0, SIZES)).finite


def test_more_workers_than_slices_are_refused(group: Group) -> None:
    worker = Worker(Toy(), config(), group)
    worker.stepper = Stepper(worker.task, worker.layout, worker.settings, replace(group, size=5), device=group.device)
    with pytest.raises(UsageError, match="5 workers cannot share a global batch of 4 virtual workers"):
        worker.stepper.step(place(0, SIZES), flags=Flags())


def test_parts_of_a_slice_with_batch_norm_are_refused(group: Group) -> None:
    with pytest.raises(UsageError, match="accumulate"):
        Worker(Toy("bn"), config(accumulate=2), group)


def test_a_buffer_that_a_forward_pass_changes_is_refused(group: Group) -> None:
    class Counting(Net):
        def __init__(self) -> None:
            super().__init__("bn")
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            return super().forward(x)

    class Counted(Toy):
        def build_model(self) -> nn.Module:
            return Counting()

    with pytest.raises(UsageError, match="changes the buffer calls"):
        Worker(Counted(), config(), group).step(place(0, SIZES))


def test_accumulating_is_the_same_gradient_but_for_rounding(group: Group) -> None:
    whole, cut = (Worker(Toy("gn"), config(accumulate=n), group) for n in (1, 2))
    for worker in (whole, cut):
        for block in worker.layout.model.blocks:
            block.drop.p = 0.0
        worker.step(place(0, SIZES))
    for name, gradient in whole.layout.gradients().items():
        assert torch.allclose(gradient, cut.layout.gradients()[name], rtol=1e-3, atol=1e-6), name


class TestMemory:
    def test_activations_are_computed_twice_after_memory_ran_out_and_no_bit_changes(self, group: Group) -> None:
        calm, short = Worker(Toy(), config(), group), Worker(Toy(fails=1), config(), group)
        results = [worker.step(place(0, SIZES)) for worker in (calm, short)]
        assert [result.out_of_memory for result in results] == [False, True]
        assert results[1].state.checkpointing
        assert results[1].exact
        assert calm.digest() == short.digest()
        assert not short.step(place(1, SIZES)).out_of_memory

    def test_slices_are_halved_where_that_is_not_enough_and_no_layer_needs_them_whole(self, group: Group) -> None:
        worker = Worker(Toy("gn", fails=2), config(), group)
        result = worker.step(place(0, SIZES))
        assert (result.state.checkpointing, result.state.parts, result.exact) == (True, 2, False)
        assert len(worker.stepper.requests(place(1, SIZES))) == 8

    def test_slices_of_batch_norm_stay_whole_and_the_error_is_raised(self, group: Group) -> None:
        with pytest.raises(torch.OutOfMemoryError, match="2 samples does not fit"):
            Worker(Toy("bn", fails=2), config(), group).step(place(0, SIZES))

    def test_a_sample_that_does_not_fit_is_an_error(self, group: Group) -> None:
        with pytest.raises(torch.OutOfMemoryError, match="samples_per_virtual_worker"):
            Worker(Toy("gn", fails=9), config(), group).step(place(0, SIZES))

    def test_what_was_saved_before_is_saved_after_a_restart(self, group: Group) -> None:
        worker = Worker(Toy("gn"), config(), group)
        restarted(worker, StepState(checkpointing=True, parts=2))
        assert worker.stepper.parts == 2
        assert "forward" in vars(worker.layout.model.blocks[0])

    def test_other_errors_are_not_taken_for_a_lack_of_memory(self, group: Group) -> None:
        class Broken(Toy):
            def loss(self, model: nn.Module, batch: Rows) -> Losses:
                raise RuntimeError("shapes cannot be multiplied")

        with pytest.raises(RuntimeError, match="shapes"):
            Worker(Broken(), config(), group).step(place(0, SIZES))


class TestHalfPrecision:
    def test_an_overflow_leaves_the_step_out_and_halves_the_scale(self, group: Group) -> None:
        worker = Worker(Toy("gn"), config(precision="fp16"), group)
        restarted(worker, StepState(scale=LossScale(2.0**32)))
        result = worker.stepper.step(place(0, SIZES), flags=Flags())
        assert (result.overflow, result.finite, result.state.scale.value) == (True, True, 2.0**31)

    def test_gradients_do_not_carry_the_scale(self, group: Group) -> None:
        found = []
        for scale in (1.0, 1024.0):
            worker = Worker(Toy("gn"), config(precision="fp16"), group)
            restarted(worker, StepState(scale=LossScale(scale)))
            assert not worker.stepper.step(place(0, SIZES), flags=Flags()).overflow
            found.append(worker.layout.gradients()["head.bias"].clone())
        assert torch.allclose(*found, rtol=1e-2, atol=1e-3)

    def test_the_scale_doubles_after_many_good_steps(self) -> None:
        scale = LossScale(4.0, GROWTH_STEPS - 1)
        assert scale.after(overflow=False) == LossScale(8.0, 0)
        assert LossScale(4.0, 5).after(overflow=False) == LossScale(4.0, 6)

    def test_an_overflow_at_the_smallest_scale_is_not_finite(self, group: Group) -> None:
        class Steep(Toy):
            def loss(self, model: nn.Module, batch: Rows) -> Losses:
                return (model.head.bias * 0).sqrt().sum()  # zero, with a gradient that is no number

        worker = Worker(Steep("gn"), config(precision="fp16"), group)
        restarted(worker, StepState(scale=LossScale(1.0)))
        result = worker.stepper.step(place(0, SIZES), flags=Flags())
        assert (result.overflow, result.finite) == (True, False)


@dataclass
class Listening(Toy):
    """Notes what is announced, and what is loaded then."""

    look_ahead: int = 6
    told: list[list[tuple[int, ...]]] = field(default_factory=list)
    loaded: list[tuple[int, ...]] = field(default_factory=list)

    def expect(self, requests: Sequence[Request]) -> None:
        self.told.append([tuple(request.positions.tolist()) for request in requests])

    def load(self, request: Request) -> Rows:
        self.loaded.append(tuple(request.positions.tolist()))
        return super().load(request)


def test_every_load_is_announced_first_and_the_next_ones_with_it(group: Group) -> None:
    task, rooms = Listening(), list[int]()
    worker = Worker(task, config(), group)
    worker.stepper.step(place(0, SIZES), flags=Flags(), ahead=[place(1, (2, 1, 0, 0))], then=rooms.append)
    assert task.loaded == [(0, 1), (2, 3), (4, 5), (6, 7)]
    assert [told[0] for told in task.told] == task.loaded
    assert [len(told) for told in task.told] == [6, 5, 4, 3]
    assert rooms == [1, 2, 3]


def test_where_passes_hold_collectives_a_lack_of_memory_ends_the_worker_and_says_what_to_do(group: Group) -> None:
    worker = Worker(Toy(fails=1), config(), group)
    passes = SlicePasses(
        worker.task,
        Together(worker.layout),
        worker.settings,
        worker.stepper.statistics,
        group.device,
        workers=2,
        step=0,
        parts=1,
        loss_scale=1.0,
    )
    batch = worker.task.load(Request("train", 0, place(0, SIZES).batch.slices[0]))
    with pytest.raises(torch.OutOfMemoryError, match="activation_checkpointing"):
        passes.run(0, [batch], last=True)


class TestGhosts:
    def test_they_run_and_leave_no_row(self, group: Group) -> None:
        worker = Worker(Toy("gn"), config(), group)
        together = Together(worker.layout)
        stepper = Stepper(worker.task, together, worker.settings, group, device=group.device)
        result = stepper.step(place(0, (2, 2, 2)), flags=Flags())
        assert together.passes_run == [(0, False), (1, False), (2, False), (None, True)]
        assert result.samples == 6

    def test_a_slice_without_readable_samples_is_a_ghost(self, group: Group) -> None:
        worker = Worker(Toy("gn"), config(), group)
        together = Together(worker.layout)
        stepper = Stepper(worker.task, together, worker.settings, group, device=group.device)
        result = stepper.step(place(0, (2, 2, 2), corrupt=(1,)), flags=Flags())
        assert together.passes_run == [(0, False), (None, False), (2, False), (None, True)]
        assert result.samples == 4


class Together:
    """A layout whose passes hold collectives, so that there are ghosts; its sums are nobody's."""

    runs_ghosts = True

    def __init__(self, layout: ReplicatedLayout) -> None:
        self._layout = layout
        self.model, self.call = layout.model, layout.call
        self.passes_run: list[tuple[int | None, bool]] = []

    def begin_step(self, count: int, filled: int) -> None:
        """Nothing is summed."""

    def reduce(self, scale: float) -> None:
        """Nothing is summed."""

    def gradients(self) -> dict[str, torch.Tensor]:
        return {}

    def passes(self, count: int, filled: int) -> tuple[int | None, ...]:
        return (*range(filled), None)

    @contextmanager
    def slice_pass(self, index: int | None, *, last: bool, ends: bool = True) -> Iterator[None]:
        self.passes_run.append((index, last))
        yield
        assert any(p.grad is not None for p in self.model.parameters()), "a ghost computes"
        self.model.zero_grad()
