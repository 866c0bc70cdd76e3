"""Opens the file of a trace, gzipped or not, and says what it is where it is no text of a trace."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from orchestrator.base.errors import UsageError
from orchestrator.base.text import one_line

_GZIP = b"\x1f\x8b"
_TAR, _TAR_AT = b"ustar", 257
_POINTER = b"version https://git-lfs"


@contextmanager
def opened(path: Path) -> Iterator[io.TextIOBase]:
    """The text of a file, gzipped or not, without a byte order mark.

    Raises:
        UsageError: it cannot be read, or is no text.
    """
    name = repr(str(path)[:200])
    try:
        with _unpacked(path) as file:
            _refuse_what_is_no_text(path, file)
        with _unpacked(path) as file, io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
            yield text
    except UnicodeDecodeError:
        raise UsageError(
            f"{name} is no text in UTF-8", hint="a trace is a table (CSV) or JSON, perhaps gzipped"
        ) from None
    except EOFError:
        raise UsageError(f"{name} ends too early", hint="it was cut off: fetch or copy it again") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise UsageError(f"{name} is damaged: {one_line(str(error))}", hint="fetch or copy it again") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"cannot read {name}: {one_line(reason)}", hint="check the file") from None


def _unpacked(path: Path) -> BinaryIO:
    with path.open("rb") as probe:
        packed = probe.read(2) == _GZIP
    return gzip.open(path, "rb") if packed else path.open("rb")  # type: ignore[return-value]


def _refuse_what_is_no_text(path: Path, file: BinaryIO) -> None:
    """Traces are published in archives, and by references to them in repositories."""
    start = file.read(_TAR_AT + len(_TAR))
    if start[_TAR_AT:] == _TAR:
        raise UsageError(f"{str(path)[:200]!r} is an archive", hint=f"unpack it: tar -xf {path.name[:100]}")
    if start.startswith(_POINTER):
        raise UsageError(
            f"{str(path)[:200]!r} is a reference of Git LFS to the trace, not the trace", hint="git lfs pull fetches it"
        )
