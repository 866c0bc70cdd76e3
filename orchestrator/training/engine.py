"""The elastic training loop: views of workers, and in each of them steps, evaluations, reports and checkpoints.

Everything is done in units (a step, a round of an evaluation, the end of an epoch). A unit either changes the state of
all workers in the same way, or a worker is lost in it, and it is done again by those who are left.
"""

from __future__ import annotations

from typing import Literal

from torch import nn

from orchestrator.base.errors import UsageError
from orchestrator.rundir.membership import View
from orchestrator.training.checkpoint import Checkpoint, CheckpointStore
from orchestrator.training.config import EngineContext, TrainConfig, TrainResult
from orchestrator.training.determinism import fingerprint
from orchestrator.training.elastic import Joining
from orchestrator.training.forming import own_store
from orchestrator.training.group import Group, GroupBroken, default_device
from orchestrator.training.holding import Holding
from orchestrator.training.keeping import Keeping
from orchestrator.training.measuring import Measuring
from orchestrator.training.speaking import Speaking
from orchestrator.training.state import TrainingState, identity_of, read_back
from orchestrator.training.task import BatchT, Task
from orchestrator.training.units import GoBack, Units

Ending = Literal["finished", "stopped", "left"]


def train(task: Task[BatchT], config: TrainConfig, context: EngineContext) -> TrainResult:
    """Train until the last epoch, a stop request, a report that answers False, or until a resize takes this worker out.

    Every worker of a run calls this with equal arguments but for the context; the result is the same for any number of
    them, and for every sequence of views. It goes on from where the other workers are, else from the newest whole
    checkpoint, else from the start.

    Raises:
        NonFiniteLoss: on every worker.
        Conflict: the checkpoint belongs to another training.
        DataError: every sample of an epoch, or of an evaluation, is corrupt.
        Fenced: a newer run owns the checkpoints.
        UsageError: the workload cannot work.
    """
    return _Training(task, config, context).run()


class _Training:
    """One call of `train`."""

    def __init__(self, task: Task[BatchT], config: TrainConfig, context: EngineContext) -> None:
        self._task, self._config, self._context = task, config, context
        samples = task.samples("train")
        if not samples:
            raise UsageError("the training split has no samples", hint="see: orchestrator data info")
        self._batching = task.batches(config)
        self._device = context.device or default_device()
        self._fingerprint = fingerprint(self._device)
        self._identity = identity_of(config, task.identity, samples, task.chunk)
        self._holding = Holding(task, config, self._device)
        self._keeping = Keeping(
            config,
            context,
            self._identity,
            self._fingerprint,
            asked=lambda: self._speaking.checkpoints_asked,
        )
        self._speaking = Speaking(config, context, self._batching, Measuring(self._device))
        self._store = own_store(context.host)
        self._model: nn.Module | None = None
        self._joining = Joining(
            context.membership,
            self._holding,
            self._store,
            device=self._device,
            fingerprint=self._fingerprint,
            exact=config.exact,
            sharded=config.parallel == "fsdp",
        )

    def run(self) -> TrainResult:
        """Train."""
        membership = self._context.membership
        membership.beat(0, "idle")
        membership.ready(self._store.port)
        view = membership.next_view(0)
        while view is not None and self._takes_part(view):
            ending = self._in_view(view)
            if ending is not None:
                return self._result(ending)
            view = membership.next_view(view.epoch)
        return self._result("left")

    def _takes_part(self, view: View) -> bool:
        if self._context.membership.number in view.numbers:
            return True
        return self._context.membership.number in view.leaving and self._holding.layout.needs_leavers

    def _in_view(self, view: View) -> Ending | None:
        """Everything in one view; None: the next view follows."""
        membership = self._context.membership
        try:
            return self._with_group(view)
        except GroupBroken as error:
            reason = error.message
        # What was raised held on to the group's connections until here; others wait for them to be closed.
        self._holding.layout.abandon()
        self._speaking.failed()
        self._keeping.abandon()
        if membership.newest_epoch() <= view.epoch:
            membership.broken(view.epoch, reason)
        return None

    def _with_group(self, view: View) -> Ending | None:
        self._speaking.idle()
        self._refuse_idle_workers(view)
        with self._joining.group(view, self._speaking.waiting) as (whole, members):
            entered = self._joining.enter(view, whole, members, self._speaking.shared())
            if members is None:
                return "left"
            self._context.adopted(self._holding.state.history)
            self._speaking.enters(leads=members.rank == 0, shared=entered.shared, workers=members.size)
            self._keeping.enters(view)
            if not entered.held:
                self._resume(members, entered.lost_steps)
            self._keeping.make_up(self._holding, members)
            return self._work(view, members)

    def _refuse_idle_workers(self, view: View) -> None:
        workers, slices = len(view.members), self._batching.virtual_workers
        if workers > slices:
            raise UsageError(
                f"{workers} workers cannot share a global batch of {slices} virtual workers",
                hint="lower train.samples_per_virtual_worker, or ask for fewer workers",
            )

    def _work(self, view: View, group: Group) -> Ending | None:
        """Unit after unit."""
        units = self._units(group)
        while True:
            try:
                flags = units.next()
            except GoBack as asked:
                self._go_back(group, asked.step)
                units = self._units(group)
                continue
            if flags is None:
                self._finish(group)
                return "finished"
            if flags.stop:
                self._settle(group)
                return "stopped"
            if flags.checkpoint % 2 or flags.checkpoint // 2 > self._speaking.checkpoints_asked:
                self._speaking.checkpoints_asked = flags.checkpoint // 2
                self._keeping.begin(self._holding, group)
            self._keeping.look(leads=self._speaking.leads)
            if flags.view > view.epoch:
                return None

    def _units(self, group: Group) -> Units:
        return Units(
            self._task,
            self._config,
            self._context,
            self._batching,
            self._holding,
            self._keeping,
            self._speaking,
            group,
        )

    def _finish(self, group: Group) -> None:
        self._settle(group)
        self._model = self._holding.result(group)

    def _settle(self, group: Group) -> None:
        """The last checkpoint is durable, and all know it: nobody needs anybody any more."""
        self._speaking.measured(force=True)
        self._speaking.idle()
        self._keeping.settle(self._holding, group)
        group.any(False)

    def _go_back(self, group: Group, step: int) -> None:
        """To the newest checkpoint; the step is left out when it comes again."""
        left_out = (*self._holding.state.left_out, step)
        self._speaking.idle()
        self._speaking.measuring.interrupted()
        self._keeping.wait(group)
        self._joining.begin_anew(group)
        self._resume(group, 0)
        self._holding.change(left_out=left_out)

    def _resume(self, group: Group, lost_steps: int) -> None:
        """The state of the newest whole checkpoint, which the leader chooses; a fresh one where there is none."""
        store, speaking, holding = self._context.checkpoints, self._speaking, self._holding
        speaking.note(self._batching.note)
        chosen = None
        if store is not None:
            chosen = self._newest(store) if group.rank == 0 else None
            samples = group.agree(-1 if chosen is None else chosen.samples)
            if samples >= 0 and chosen is None:
                chosen = store.read(samples)
        state = TrainingState()
        if store is not None and chosen is not None:
            state = read_back(chosen.meta, self._identity, self._fingerprint)
            store.load(chosen, holding.checkpointed(), group)
            speaking.note(f"resumed from {chosen.path}, after {chosen.samples} samples")
        holding.layout.committed(state.position.steps, holding.tensors)
        holding.adopt(state)
        self._keeping.stands_at(state)
        self._context.adopted(state.history)
        lost = speaking.lost(state.position.samples)
        if lost:
            speaking.note(f"{lost} samples that were used before are used again")
            speaking.tell("rolled_back", samples=state.position.samples, lost_samples=lost, lost_steps=lost_steps)
        speaking.progress(state.position, force=True)

    def _newest(self, store: CheckpointStore) -> Checkpoint | None:
        """What the leader goes on from, where the next checkpoints can be written too."""
        store.refuse_unwritable()
        return store.newest(self._passed_over)

    def _passed_over(self, reason: str) -> None:
        self._speaking.note(reason)
        self._speaking.tell("checkpoint_passed_over", reason=reason)

    def _result(self, ending: Ending) -> TrainResult:
        if ending == "left":
            self._speaking.idle()
            self._keeping.leave()
        if self._context.audit is not None:
            self._context.audit.flush()
        state = self._holding.state
        return TrainResult(
            state=ending,
            model=self._model or self._holding.layout.model,
            leads=self._speaking.leads and ending != "left",
            samples=state.position.samples,
            skipped=state.position.skipped,
            history=state.history,
            final=state.final,
            exact_until=state.exact_until,
            fingerprint=self._fingerprint,
            left_out=self._batching.note,
        )
