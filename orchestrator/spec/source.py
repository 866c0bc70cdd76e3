"""Reads YAML 1.2 into nodes with places; whatever is ambiguous, hostile or not plain data is refused."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from orchestrator.base.errors import UsageError
from orchestrator.spec.diagnostics import Diagnostic, nearest, refusal
from orchestrator.spec.nodes import Mark, Source

MAX_BYTES = 2**20
MAX_LINE = 100_000
"""Characters of a line: the scanner's time grows with the square of some tokens."""

_BOMS = {codecs.BOM_UTF8: "UTF-8", codecs.BOM_UTF16_LE: "UTF-16", codecs.BOM_UTF16_BE: "UTF-16"}
# YAML's printable characters, less the line breaks that only some programs take for one.
_UNPRINTABLE = re.compile(
    r"\r\n|[^\t\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)


def read_document(path: Path) -> bytes:
    """The content of a document's file.

    Raises:
        UsageError: there is no such file, or it cannot be read.
        SpecError: it is too large; nothing of it is read.
    """
    try:
        if path.is_dir():
            raise UsageError(f"{path} is a folder, not a YAML file")
        if not path.exists():
            raise UsageError(f"there is no file {path}", hint=_neighbour(path))
        if not path.is_file():
            raise UsageError(f"{path} is not a plain file")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read {str(path)[:200]!r}: {getattr(error, 'strerror', None) or error}") from None
    if len(content) > MAX_BYTES:
        raise refusal([_too_large(str(path), path.stat().st_size)])
    return content


def _neighbour(path: Path) -> str:
    if not path.parent.is_dir():
        return ""
    beside = {p.stem: p.name for p in sorted(path.parent.glob("*.y*ml"))[:100]}
    near = nearest(path.stem, beside)  # less the ending, which all have in common
    return f"did you mean {beside[near]!r}?" if near is not None else ""


def decode(content: bytes | str, name: str) -> Source:
    """The text of a document.

    Raises:
        SpecError: too large, not UTF-8, with a byte-order mark, CRLF line ends or control characters.
    """
    size = len(content) if len(content) > MAX_BYTES or isinstance(content, bytes) else _encoded_length(content)
    if size > MAX_BYTES:
        raise refusal([_too_large(name, size)])
    text = content if isinstance(content, str) else _decode(content, name)
    source = Source(name, text)
    problems = [*_bad_characters(source), *_long_lines(source)]
    if problems:
        raise refusal(problems)
    return source


def _encoded_length(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _too_large(name: str, size: int) -> Diagnostic:
    message = f"the document has {size:,} bytes; at most {MAX_BYTES:,} are read"
    return Diagnostic(name, 0, 0, message, "is this the right file?")


def _decode(content: bytes, name: str) -> str:
    for mark, encoding in _BOMS.items():
        if content.startswith(mark):
            message = f"the file starts with a byte-order mark ({encoding})"
            raise refusal([Diagnostic(name, 1, 1, message, "save it as UTF-8 without a byte-order mark")])
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        before = content[: error.start].decode()
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        written = content[error.start - len(before.rsplit("\n", 1)[-1].encode()) :].split(b"\n", 1)[0]
        message = f"the byte 0x{content[error.start]:02x} is not UTF-8"
        shown = written.decode(errors="replace")
        raise refusal([Diagnostic(name, line, column, message, "save the file as UTF-8", shown)]) from None


def _bad_characters(source: Source) -> list[Diagnostic]:
    found: dict[str, Diagnostic] = {}
    for match in _UNPRINTABLE.finditer(source.text):
        if match[0] in found:
            continue
        before = source.text[: match.start()]
        mark = Mark(source, before.count("\n") + 1, len(before) - before.rfind("\n"))
        found[match[0]] = Diagnostic.at(mark, *_complaint(match[0]))
    return list(found.values())


def _complaint(character: str) -> tuple[str, str]:
    if character.startswith("\r"):
        written = "CRLF" if len(character) == 2 else "CR"
        return f"the line ends with {written}", "save the file with LF (Unix) line ends"
    if character == "\ufeff":
        return "a byte-order mark", "save the file as UTF-8 without a byte-order mark"
    return (
        f"the character U+{ord(character):04X} cannot be shown",
        f'leave it out, or write it as "\\u{ord(character):04x}"',
    )


def _long_lines(source: Source) -> list[Diagnostic]:
    if len(source.text) <= MAX_LINE:
        return []
    return [
        Diagnostic.at(Mark(source, number, 1), f"the line has {len(line):,} characters; at most {MAX_LINE:,} are read")
        for number, line in enumerate(source.text.split("\n"), 1)
        if len(line) > MAX_LINE
    ]
