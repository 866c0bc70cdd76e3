"""Rules between the keys of a document some of which are wrong themselves: what does not rest on those is told too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError

from orchestrator.spec.nodes import Node, plain

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Repairs:
    """How a document is repaired, so that no rule is broken by the repair alone.

    Attributes:
        stand_ins: values of keys that it needs and that no rule looks at.
        optional: for each list, keys of its items that may be left out; where another is wrong, the list is left out.
        rests_on: keys that are left out where another one is.
        open: lists whose items mean the same without a key that nobody knows.
    """

    stand_ins: Mapping[str, object] = field(default_factory=dict)
    optional: Mapping[str, frozenset[str]] = field(default_factory=dict)
    rests_on: Mapping[str, str] = field(default_factory=dict)
    open: frozenset[str] = frozenset()


def hidden(error: ValidationError, model: type[BaseModel], root: Node) -> ValidationError | None:
    """What pydantic did not come to look at, for the keys that are wrong; None: nothing, or nobody can tell.

    Args:
        error: of the validation of `plain(root)`.
        model: what the document should be; it has `repairs` where it can be repaired.
        root: the document.
    """
    repairs, document = getattr(model, "repairs", None), plain(root)
    errors = error.errors(include_url=False, include_input=False)
    places = [_place(one["loc"], document) for one in errors]
    unknown = {place for one, place in zip(errors, places, strict=True) if one["type"] == "extra_forbidden"}
    if repairs is None or not isinstance(document, dict) or () in places:
        return None
    try:
        model.model_validate(_repaired(document, places, unknown, repairs))
    except ValidationError as later:
        return later if not any(one["loc"] for one in later.errors()) else None
    return None


def _place(parts: Sequence[str | int], document: Any) -> Path:
    """The innermost value of the document that an error is about; of a missing key its name, where it is at the top."""
    path: Path = ()
    for part in parts:
        inside = isinstance(document, dict) and part in document
        if not inside and not (isinstance(document, list) and isinstance(part, int) and part < len(document)):
            return path or (part,)
        document, path = document[part], (*path, part)
    return path


def _repaired(document: dict[str, Any], places: Sequence[Path], unknown: Set[Path], repairs: Repairs) -> dict[str, Any]:
    found, gone = dict(document), set[str]()
    if any(len(path) == 1 for path in unknown):  # it may have been meant for one that is not there
        gone |= {key for key in repairs.rests_on.values() if key not in document}
    for path in places:
        top = str(path[0])
        spare = path in unknown and top in repairs.open
        if len(path) < 3 or not (spare or path[2] in repairs.optional.get(top, frozenset())):
            gone.add(top)
        elif top in found:
            items, key = list(found[top]), path[2]
            items[int(path[1])] = {name: value for name, value in items[int(path[1])].items() if name != key}
            found[top] = items
    gone |= {key for key, needed in repairs.rests_on.items() if needed in gone}
    return {**{key: value for key, value in found.items() if key not in gone}, **repairs.stand_ins}
