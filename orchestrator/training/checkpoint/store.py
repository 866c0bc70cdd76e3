"""The checkpoints of one training: begun, found, loaded, and removed again."""

from __future__ import annotations

import errno
import json
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from orchestrator.base.errors import DataError, Fenced, OrchestratorError, UsageError
from orchestrator.data.remote.retry import Patience
from orchestrator.spec.place import parse_location
from orchestrator.training.checkpoint import loading
from orchestrator.training.checkpoint.folder import Folder
from orchestrator.training.checkpoint.keep import KeepPolicy
from orchestrator.training.checkpoint.manifest import MANIFEST, Checkpoint, Damaged, FileEntry, Manifest, parse
from orchestrator.training.checkpoint.pieces import Buffers, own_pieces
from orchestrator.training.checkpoint.place import Place
from orchestrator.training.checkpoint.retention import by_folder, folder_of, superfluous
from orchestrator.training.checkpoint.saving import GivenUp, Order, Saving
from orchestrator.training.group import Group

MODEL, AVERAGE = "model/", "ema/"
KEEP = KeepPolicy()
REMOTE = Patience()
_AT_ONCE = 4 * 2**20
_SUPERSEDED, _UNREADABLE = -1, -2
_PASSING = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.EAGAIN, errno.EINTR, errno.ETIMEDOUT}
_WHY = "a newer run of this job has taken over: see the leader's log"


class CheckpointStore:
    """The checkpoints of one training, in a place that all its workers reach.

    Args:
        root: the folder, or a URL such as `s3://bucket/prefix`.
        keep: which of them stay.
        fence: called before every write; raises `Fenced` where a newer run owns them.
        patience: seconds without any news of another worker, after which a checkpoint is given up.
        remote: how long an object store is given.
    """

    def __init__(
        self,
        root: Path | str,
        keep: KeepPolicy = KEEP,
        fence: Callable[[], None] = lambda: None,
        *,
        patience: float = 600.0,
        remote: Patience = REMOTE,
    ) -> None:
        self.root, self.keep = root, keep
        self._fence, self._patience = fence, patience
        self._place = _place(root, remote)
        self._buffers = Buffers()
        self._saving: Saving | None = None
        self._damaged: set[int] = set()

    def begin(
        self,
        samples: int,
        tensors: Mapping[str, torch.Tensor],
        meta: Mapping[str, Any],
        group: Group,
        *,
        epoch: int | None = None,
        measures: Mapping[str, float] | None = None,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> Saving:
        """Copy the state, and write it in the background.

        All workers of the group call this at once, with equal arguments but for their shards. It returns when what this
        worker writes is copied; the tensors may change then. One that is being written is finished first, in the
        background; until then its copies are held too. Only one waits in this way: where there is one already, this
        call waits until that one is being written.

        Args:
            samples: training samples that the state stands after.
            tensors: by name: whole ones, equal on all workers, or DTensors.
            meta: JSON values.
            group: the workers.
            epoch: complete epochs, where the state stands at the end of one.
            measures: what was measured there.
            meanwhile: called again and again while this call waits; what it raises ends the call.

        Raises:
            Fenced: on every worker, where the leader finds that a newer run owns the folder.
            GivenUp: on the others, where the leader cannot read the fence; on the leader what was raised there.
        """
        if self._saving is not None:
            self._saving.wait_for_turn(meanwhile)
        attempt = self._agree(group)
        pieces = self._buffers.copy(own_pieces(tensors, group.rank, group.size))
        head = Manifest(samples, attempt, epoch, dict(measures or {}), json.loads(json.dumps(dict(meta))))
        order = Order(
            self._place,
            folder_of(samples),
            head,
            group.rank,
            group.size,
            pieces,
            self._fence,
            self._patience,
            self._tidy,
        )
        self._damaged.discard(samples)
        self._saving = Saving(order, self._buffers, self._saving)
        return self._saving

    def refuse_unwritable(self) -> None:
        """Write and remove an empty file: a wrong place is refused before anything is trained.

        Raises:
            UsageError: nobody can ever write there.
            OSError, RemoteUnavailable: it cannot be written now.
        """
        name = f"writable-{secrets.token_hex(8)}/probe"
        try:
            self._place.replace(name, b"writable\n")
            self._place.delete([name])
        except OSError as error:
            if error.errno in _PASSING:
                raise
            raise UsageError(
                f"checkpoints cannot be written to {self.root}: {error.strerror or error}",
                hint="correct train.checkpoint.to, or the permissions of that place",
            ) from error

    def newest(self, passed_over: Callable[[str], None] = lambda reason: None) -> Checkpoint | None:
        """The newest checkpoint that is whole, every byte of it verified; None where there is none.

        Args:
            passed_over: told of each newer one that cannot be used, and why.
        """
        for samples in sorted(by_folder(self._place.names()), reverse=True):
            try:
                return self._verified(samples)
            except Damaged as damage:
                self._damaged.add(samples)
                passed_over(f"the checkpoint {self._where(samples)} is passed over: {damage}")
        return None

    def read(self, samples: int) -> Checkpoint:
        """The checkpoint after `samples` samples, which another worker found whole.

        Raises:
            DataError: it is not there.
        """
        try:
            return self._open(samples)
        except Damaged as damage:
            raise self._unusable(samples, damage) from damage

    def read_whole(self, samples: int) -> Checkpoint:
        """The checkpoint after `samples` samples and no other, every byte of it verified.

        Raises:
            DataError: it is absent or damaged.
        """
        try:
            return self._verified(samples)
        except Damaged as damage:
            raise self._unusable(samples, damage) from damage

    def load(self, checkpoint: Checkpoint, into: Mapping[str, torch.Tensor], group: Group) -> None:
        """Fill tensors in place: whole ones or DTensors, whatever they were when they were saved.

        All workers of the group call this at once, and all fail where one does.

        Raises:
            DataError: the checkpoint lacks one of them, has it in another shape or type, or holds something else.
        """
        failure: DataError | None = None
        try:
            self._fill(checkpoint, into)
        except DataError as error:
            failure = error
        if group.any(failure is not None):
            raise failure or DataError(f"the checkpoint {checkpoint.path} could not be loaded by another worker")

    def take_over(self, other: CheckpointStore, checkpoint: Checkpoint, meta: Mapping[str, Any]) -> None:
        """Copy another training's checkpoint here, in the place of one after as many samples.

        Whoever reads meanwhile finds the one or the other, each of them whole. Doing it again does no harm.

        Args:
            other: where it lies.
            checkpoint: found whole there.
            meta: what it says here: the JSON values of whoever saved it, with what is to change.

        Raises:
            DataError: it is damaged.
            Fenced: a newer run owns this place.
        """
        self._fence()
        folder = folder_of(checkpoint.samples)
        try:
            for name, entry in sorted(checkpoint.manifest.files.items()):
                self._copy(other._place.local(f"{folder}/{name}", entry), f"{folder}/{name}", entry)
        except Damaged as damage:
            raise self._unusable(checkpoint.samples, damage) from damage
        finally:
            other._place.release()
        self._fence()
        self._place.replace(f"{folder}/{MANIFEST}", replace(checkpoint.manifest, meta=dict(meta)).dump())

    def _copy(self, path: Path, name: str, entry: FileEntry) -> None:
        if self._place.exists(name):
            self._place.delete([name])  # a copy that was cut short
        with open(path, "rb") as source:
            written = self._place.put(name, lambda file: shutil.copyfileobj(source, file, _AT_ONCE))
        if written != entry:
            raise Damaged(f"{path.name} differs from its checksum")

    def model_of(self, checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
        """The model's parameters and buffers by their names in it, on the CPU: averages where there are such.

        Raises:
            DataError: the checkpoint holds something other than its manifest says.
        """
        names = checkpoint.manifest.tensors
        state = loading.empty(checkpoint.manifest, [name for name in names if name.startswith((MODEL, AVERAGE))])
        self._fill(checkpoint, state)
        of_model = {name.removeprefix(MODEL): state[name] for name in state if name.startswith(MODEL)}
        return of_model | {name.removeprefix(AVERAGE): state[name] for name in state if name.startswith(AVERAGE)}

    def _agree(self, group: Group) -> str:
        """A name that no other attempt has."""
        refusal: OSError | OrchestratorError | None = None
        number = secrets.randbits(62)
        if group.rank == 0:
            try:
                self._fence()
            except (OSError, OrchestratorError) as error:  # said to the others: they must not wait for this worker
                refusal, number = error, _SUPERSEDED if isinstance(error, Fenced) else _UNREADABLE
        number = group.agree(number)
        if refusal is not None:
            raise refusal
        if number == _SUPERSEDED:
            raise Fenced(f"{self.root}: the leader found that it must not write there", hint=_WHY)
        if number == _UNREADABLE:
            raise GivenUp(f"{self.root}: the leader cannot read the run's fence", hint="its log says why")
        return f"{number:016x}"

    def _fill(self, checkpoint: Checkpoint, into: Mapping[str, torch.Tensor]) -> None:
        try:
            loading.load(self._place, folder_of(checkpoint.samples), checkpoint.manifest, into)
        except Damaged as damage:
            raise self._unusable(checkpoint.samples, damage) from damage
        finally:
            self._place.release()

    def _verified(self, samples: int) -> Checkpoint:
        found = self._open(samples)
        try:
            loading.verify(self._place, folder_of(samples), found.manifest)
        except BaseException:
            self._place.release()
            raise
        return found

    def _open(self, samples: int) -> Checkpoint:
        document = self._place.read(f"{folder_of(samples)}/{MANIFEST}")
        if document is None:
            raise Damaged("it has no manifest: it was not finished")
        try:
            manifest = parse(document)
        except Damaged as damage:
            raise Damaged(f"{MANIFEST} is damaged: {damage}") from damage
        if manifest.samples != samples:
            raise Damaged(f"{MANIFEST} is damaged: it is another checkpoint's")
        return Checkpoint(self._where(samples), manifest)

    def _where(self, samples: int) -> Path | str:
        return self._place.where(folder_of(samples))

    def _unusable(self, samples: int, damage: Exception) -> DataError:
        return DataError(
            f"the checkpoint {self._where(samples)} cannot be used: {damage}",
            hint="remove its folder: the one before it is used then; for a trial, remove its record under trials",
        )

    def _tidy(self, there: Sequence[str], saved: Manifest) -> None:
        """Called in the background, by the leader."""
        manifests = {samples: self._known(samples) for samples in by_folder(there) if samples < saved.samples}
        self._place.delete(superfluous(self.keep, saved, there, manifests))

    def _known(self, samples: int) -> Manifest | None:
        if samples in self._damaged:
            return None
        try:
            return self._open(samples).manifest
        except Damaged:
            return None


def _place(root: Path | str, patience: Patience) -> Place:
    place = parse_location(root, of="checkpoint")
    if isinstance(place, Path):
        return Folder(place)
    from orchestrator.training.checkpoint.bucket import Bucket  # only where there is one

    return Bucket(place, patience)
