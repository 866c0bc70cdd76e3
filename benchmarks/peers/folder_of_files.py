"""torchvision's ImageFolder: a file for each sample."""

from __future__ import annotations

from pathlib import Path

from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder

from peers.decoding import collate, decoder
from peers.inputs import Inputs, lay_out
from peers.share import Epoch, Share, Work, by_index, delivered


def write(folder: Path, inputs: Inputs) -> None:
    """A folder for each label."""
    lay_out(folder, inputs)


def rows(folder: Path, share: Share) -> Epoch:
    """By index, reading bytes only."""
    files = ImageFolder(str(folder), loader=_content)
    return by_index(share, lambda number: files[number][0])


def loader(folder: Path, work: Work) -> Epoch:
    """Shuffled by DataLoader."""
    decode = decoder(work.decoder)
    files = ImageFolder(str(folder), loader=lambda path: decode(_content(path)))
    batches: DataLoader[object] = DataLoader(
        files,
        work.batch,
        shuffle=True,
        num_workers=work.workers,
        collate_fn=collate,
        persistent_workers=work.workers > 0,
        prefetch_factor=4 if work.workers else None,
    )
    return lambda _: delivered(batches)


def _content(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
