"""Where the inputs of a source lie: files by patterns, files by names in tables, and none outside the source."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from orchestrator.base.errors import DataError, NotFound, UsageError
from orchestrator.data.converters.listing import Listing
from orchestrator.data.source import BadSample
from orchestrator.spec.card import DatasetCard, Fractions, HoldOut

OUTSIDE = "a symbolic link that leads out of the source"
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_CHOICE = re.compile(r"\{([^{}]*,[^{}]*)\}")
_MOST_NAMES = 1_000_000


def source_folder(card: DatasetCard, source: Path | None) -> Path:
    """The folder of a source, links resolved.

    Raises:
        UsageError: none was given.
        NotFound: it is not there.
    """
    if source is None:
        raise UsageError(f"{card.name} is built from a folder", hint="name it with --source FOLDER")
    if not source.is_dir():
        raise NotFound(f"no folder {source}", hint="name the source's folder with --source FOLDER")
    return source.resolve()


def is_inside(root: Path, path: str | os.PathLike[str]) -> bool:
    """Whether a path, links followed, lies in `root`, which is resolved already; links that go round are inside."""
    return Path(os.path.realpath(path)).is_relative_to(root)


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder or a link to one; a link that goes round is none."""
    return os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()


def is_file(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a file or a link to one; a link that goes round is none."""
    return os.path.isfile(entry.path) if entry.is_symlink() else entry.is_file()


def split_names(card: DatasetCard) -> tuple[str, ...]:
    """What the source calls its splits; one empty name where the card cuts them."""
    if isinstance(card.splits, Fractions):
        return ("",)
    if isinstance(card.splits, HoldOut):
        return (card.splits.train, card.splits.test)
    return tuple(card.splits.names.values())


def split_patterns(card: DatasetCard, default: str) -> dict[str, str]:
    """The pattern of each split's tables: the card's `layout.tables`, else `default`, with `{split}` replaced."""
    pattern = card.layout.tables or default
    return {name: pattern.replace("{split}", name) for name in split_names(card)}


def tables_of(card: DatasetCard, root: Path, default: str, listing: Listing) -> dict[str, list[Path]]:
    """The tables of each split. A split other than the first without any is a warning, and has no rows.

    Args:
        card: its `layout.tables` is the pattern; `{split}` stands for the split.
        root: the source.
        default: the pattern of a card that has none.
        listing: takes warnings, and files that are absent.

    Raises:
        DataError: a pattern leads out of the source.
        NotFound: the first split has no table.
    """
    found: dict[str, list[Path]] = {}
    for split, pattern in split_patterns(card, default).items():
        try:
            found[split] = matching(root, pattern, listing)
        except NotFound as error:
            if not found:
                raise
            listing.warn(f"{error.message}: {split} has no rows; take it out of the card's `splits`, or fetch the file")
    return found


def matching(root: Path, pattern: str, listing: Listing) -> list[Path]:
    """The files of a pattern, in order; `*`, `?`, `**`, `{000..123}` and `{a,b}` mean what they do in a shell.

    Named files that are absent, and links that lead out of `root`, are listed as skipped; the others as used.

    Raises:
        DataError: the pattern leads out of `root`.
        NotFound: nothing matches.
    """
    if _leads_out(pattern):
        raise DataError(
            f"the pattern {pattern!r} leads out of the source", hint="name files inside the source's folder"
        )
    names = list(islice(_expand(pattern), _MOST_NAMES + 1))
    if len(names) > _MOST_NAMES:
        raise DataError(f"the pattern {pattern!r} names more than {_MOST_NAMES:,} files")
    found: list[Path] = []
    for name in names:
        paths = sorted(root.glob(name)) if glob.has_magic(name) else [root / name]
        for path in paths:
            relative = path.relative_to(root).as_posix()
            if not is_inside(root, path):
                listing.add(relative, OUTSIDE)
            elif path.is_file():
                found.append(path)
                listing.uses(path)
            elif not path.is_dir():
                listing.add(relative, "no such file")
    if not found:
        raise NotFound(f"no file matches {pattern!r} in {root}", hint="the card's `splits` and `layout` name them")
    return list(dict.fromkeys(found))


def contained(root: str, relative: str) -> str:
    """The path of a file that a table names, relative to `root`, which is resolved already.

    Raises:
        BadSample: the path is empty, absolute, has `..`, or goes through a link that leads out of `root`.
    """
    if not relative or "\0" in relative:
        raise BadSample("its path is empty or holds a NUL byte")
    if os.path.isabs(relative):
        raise BadSample("its path is absolute, and so not of this source")
    if _leads_out(relative):
        raise BadSample("its path leads out of the source")
    path = os.path.join(root, relative)
    if os.path.commonpath((root, os.path.realpath(path))) != root:
        raise BadSample(OUTSIDE)
    return path


def _leads_out(path: str) -> bool:
    return os.path.isabs(path) or ".." in re.split(r"[/\\]", path)


def _expand(pattern: str) -> Iterator[str]:
    """All names of a pattern with braces, the first brace changing slowest."""
    if found := _RANGE.search(pattern):
        first, last = found.groups()
        width = len(first) if first.startswith("0") else 0
        parts: Iterable[str] = (f"{number:0{width}d}" for number in range(int(first), int(last) + 1))
    elif found := _CHOICE.search(pattern):
        parts = found[1].split(",")
    else:
        yield pattern
        return
    for part in parts:
        yield from _expand(pattern[: found.start()] + part + pattern[found.end() :])
