"""Checkpoints: written in the background by all workers, checked when read, loaded into any number of workers.

A checkpoint is a folder `samples-<n>` in a local folder or under an `s3://` URL. Each worker writes one file there, in
the form of torch.distributed.checkpoint; `manifest.json`, written last, makes the checkpoint one. It takes the place of
that library's `.metadata`, which is a pickle.
"""

from orchestrator.training.checkpoint.keep import KeepPolicy
from orchestrator.training.checkpoint.manifest import Checkpoint
from orchestrator.training.checkpoint.saving import GivenUp, Saving
from orchestrator.training.checkpoint.store import CheckpointStore

__all__ = ["Checkpoint", "CheckpointStore", "GivenUp", "KeepPolicy", "Saving"]
