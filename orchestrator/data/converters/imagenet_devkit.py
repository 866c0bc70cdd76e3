"""The development kit of ILSVRC2012: which synset each of its class numbers means, and the validation labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.base.errors import DataError, NotFound
from orchestrator.base.text import one_line
from orchestrator.data.converters.listing import Listing
from orchestrator.data.converters.places import is_inside

TRUTH = "ILSVRC2012_validation_ground_truth.txt"
"""One class number of the kit a line; line 1 is `ILSVRC2012_val_00000001.JPEG`."""

META = ("meta.mat", "map_clsloc.txt")
"""What names the synsets: the kit's MATLAB file, or the text `WNID NUMBER WORDS` that later kits have."""

_PLACES = ("data", "ILSVRC2012_devkit_t12/data", ".")


@dataclass(frozen=True)
class Synsets:
    """The synsets by the kit's own numbers, 1 to 1000. Those are NOT the numbers that the field trains with.

    Attributes:
        wnids: of each number.
        words: of each synset, as WordNet has them: `tench, Tinca tinca`.
    """

    wnids: Mapping[int, str]
    words: Mapping[str, str]


def read_synsets(root: Path, listing: Listing) -> Synsets | None:
    """The synsets of the kit in a source; None where there is no kit.

    Raises:
        DataError: its file is damaged.
    """
    path = _find(root, listing, *META)
    if path is None:
        return None
    rows = list(_rows_of_mat(path) if path.suffix == ".mat" else _rows_of_text(path))
    wnids = {number: wnid for number, wnid, _ in rows}
    if not rows or len(wnids) != len(rows) or len(set(wnids.values())) != len(rows):
        raise DataError(f"{path} does not give each synset one number", hint="unpack the development kit again")
    return Synsets(wnids, {wnid: words for _, wnid, words in rows})


def read_truth(root: Path, listing: Listing) -> tuple[int, ...]:
    """The kit's number of the class of each validation image, in the order of the images' numbers.

    Raises:
        NotFound: there is no such file in the source.
        DataError: a line is no number.
    """
    path = _find(root, listing, TRUTH)
    if path is None:
        raise NotFound(
            f"the validation images of {root} lie in one folder, and no {TRUTH} says what they show",
            hint=f"unpack ILSVRC2012_devkit_t12.tar.gz into {root}, or sort the images into folders of their synsets",
        )
    lines = path.read_text(encoding="utf-8", errors="replace").split()
    if not all(line.isascii() and line.isdigit() for line in lines):
        raise DataError(f"{path} does not hold one number a line", hint="unpack the development kit again")
    return tuple(map(int, lines))


def _find(root: Path, listing: Listing, *names: str) -> Path | None:
    candidates = (root / place / name for place in _PLACES for name in names)
    found = next((path for path in candidates if path.is_file() and is_inside(root, path)), None)
    if found is not None:
        listing.uses(found)
    return found


def _rows_of_text(path: Path) -> Iterator[tuple[int, str, str]]:
    for place, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        parts = line.split(maxsplit=2)
        if len(parts) < 3 or not (parts[1].isascii() and parts[1].isdigit()):
            raise DataError(f"{path}:{place}: not `WNID NUMBER WORDS`", hint="unpack the development kit again")
        yield int(parts[1]), parts[0], one_line(parts[2].replace("_", " "))


def _rows_of_mat(path: Path) -> Iterator[tuple[int, str, str]]:
    """The leaves of the kit's tree; inner synsets, which have children, follow them in the file and are no classes."""
    from scipy.io import loadmat

    try:
        synsets = loadmat(path, squeeze_me=True)["synsets"].reshape(-1)
        for row in synsets:
            if int(row["num_children"]) == 0:
                yield int(row["ILSVRC2012_ID"]), str(row["WNID"]), one_line(str(row["words"]))
    except Exception as error:  # scipy raises whatever a damaged file leads it to
        raise DataError(f"{path} cannot be read: {error}", hint="unpack the development kit again") from error
