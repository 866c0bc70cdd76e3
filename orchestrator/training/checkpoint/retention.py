"""What is removed once a checkpoint is there: what no rule keeps, what lies beyond it, and what killed writers left."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from orchestrator.training.checkpoint.keep import Entry, KeepPolicy, kept
from orchestrator.training.checkpoint.manifest import MANIFEST, Manifest

_FOLDER = re.compile(r"samples-(\d{15})")


def folder_of(samples: int) -> str:
    """The folder of the checkpoint after so many samples."""
    return f"samples-{samples:015d}"


def by_folder(names: Iterable[str]) -> dict[int, list[str]]:
    """The files of each checkpoint's folder, by its samples; what else lies there is nobody's business."""
    found: defaultdict[int, list[str]] = defaultdict(list)
    for name in names:
        match = _FOLDER.fullmatch(name.partition("/")[0])
        if match is not None and "/" in name:
            found[int(match[1])].append(name)
    return dict(found)


def superfluous(
    policy: KeepPolicy, saved: Manifest, there: Sequence[str], manifests: Mapping[int, Manifest | None]
) -> list[str]:
    """The files to remove, of those that were there before a checkpoint was begun.

    What lies beyond the saved one is damaged, or of a history that was left.

    Args:
        policy: the rules.
        saved: what was just written.
        there: the files that were there when it began; no later attempt's are among them.
        manifests: of every folder among them with less samples; None where it cannot be read.
    """
    usable = {samples: one for samples, one in manifests.items() if one is not None and samples < saved.samples}
    usable[saved.samples] = saved
    stay = kept(policy, [Entry(one.samples, one.epoch, one.measures) for one in usable.values()])
    gone: list[str] = []
    for samples, names in by_folder(there).items():
        if samples not in stay:
            gone += sorted(names, key=lambda name: not name.endswith(MANIFEST))  # without it nothing is half there
        else:
            folder = folder_of(samples)
            needed = (f"{folder}/{MANIFEST}", f"{folder}/{usable[samples].attempt}/")
            gone += [name for name in names if not name.startswith(needed)]
    return gone
