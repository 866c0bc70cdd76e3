"""Loads documents: a workload, a cluster profile, a dataset card; every error of a document at once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from orchestrator.base.errors import NotFound, SpecError, UsageError
from orchestrator.base.paths import bundled
from orchestrator.spec.compose import compose
from orchestrator.spec.diagnostics import Diagnostic, did_you_mean, nearest, refusal
from orchestrator.spec.nodes import Mapping, Node, Scalar, plain, replaced
from orchestrator.spec.nodes import Sequence as SequenceNode
from orchestrator.spec.overrides import apply_overrides
from orchestrator.spec.source import decode, read_document

if TYPE_CHECKING:  # pydantic takes a fifth of a second; who only wants a path or a syntax error does not wait for it
    from pydantic import BaseModel

    from orchestrator.spec.card import DatasetCard
    from orchestrator.spec.policy import Policy
    from orchestrator.spec.profile import ClusterProfile
    from orchestrator.spec.workload import Workload

    D = TypeVar("D", bound=BaseModel)

KINDS = ("recipe", "command")
"""The keys that say what a workload runs; it has exactly one."""

_OF_RECIPES = frozenset({"data", "model", "optim", "train", "elastic", "search"})
"""Keys that tell a recipe's workload from a command's, where both are named."""

_OF_A_CLUSTER = frozenset({"backend", "nodes", "teams"})
"""Keys that tell a cluster profile from a policy."""


def parse_workload(text: str | bytes, filename: str, overrides: Sequence[str] = ()) -> Workload:
    """The workload in a text.

    Args:
        text: YAML 1.2; bytes are UTF-8.
        filename: what messages call it.
        overrides: texts such as `optim.lr=0.1`.

    Raises:
        SpecError: the workload is wrong; the message says everything that is.
    """
    from orchestrator.spec.workload import RECIPES, CommandWorkload

    root, problems = _read(text, filename, overrides)
    root, key, wrong = _kind(root)
    problems += wrong
    if key == "command":
        return _validate(CommandWorkload, root, problems)
    if not key:
        raise refusal(problems)
    recipe = root.entries[key].value
    name = recipe.value if isinstance(recipe, Scalar) else None
    if isinstance(name, str) and name in RECIPES:
        return _validate(RECIPES[name], root, problems)
    shown = f"unknown recipe {name!r}" if isinstance(name, str) else "recipe: expected the name of a recipe"
    problems.append(Diagnostic.at(recipe.mark, shown, did_you_mean(name, list(RECIPES))))
    if (meant := nearest(name, RECIPES)) is None:
        raise refusal(problems)
    return _validate(RECIPES[meant], replaced(root, (key,), Scalar(recipe.mark, meant)), problems)


def load_profile(name_or_path: Path | str) -> ClusterProfile:
    """A cluster profile: a file, or a name that is looked up in ./cluster, then among those of the package.

    Raises:
        NotFound: there is no such profile; the hint names those that there are.
        UsageError, SpecError: it cannot be read, or is wrong.
    """
    from orchestrator.spec.profile import ClusterProfile

    return _load(ClusterProfile, _find(name_or_path, "cluster", "cluster profile"))


def load_served_profile(name_or_path: Path | str) -> ClusterProfile:
    """A cluster profile that a server of this machine can serve.

    Raises:
        NotFound: there is no such profile; the hint names those that there are.
        UsageError, SpecError: it cannot be read, is wrong, or describes more than this machine.
    """
    profile = load_profile(name_or_path)
    if profile.backend == "local" and sum(node.count for node in profile.nodes) > 1:
        path = _find(name_or_path, "cluster", "cluster profile")
        raise refusal([_second_node(_read(read_document(path), str(path), ())[0])])
    return profile


def _second_node(root: Mapping) -> Diagnostic:
    """Where a profile goes beyond one node."""
    listed = root.entries["nodes"].value
    mark = root.entries["nodes"].mark
    if isinstance(listed, SequenceNode):
        first = listed.items[0]
        mark = listed.items[1].mark if len(listed.items) > 1 else first.mark
        if len(listed.items) == 1 and isinstance(first, Mapping) and "count" in first.entries:
            mark = first.entries["count"].mark
    hint = "leave one entry in `nodes`, with count 1; `backend: slurm` serves many nodes, `orchestrator simulate` any"
    return Diagnostic.at(mark, "backend local serves this machine alone: it has exactly one node", hint)


def load_policy(name_or_path: Path | str) -> Policy:
    """A policy: the name of a preset, or a file: a policy section, `policy:` and one, or a whole cluster profile.

    Raises:
        UsageError, SpecError: there is no such preset or file, or the file is wrong.
    """
    from orchestrator.spec.presets import PRESETS
    from orchestrator.spec.profile import ClusterProfile, PolicyFile, PolicySection

    text = str(name_or_path)
    if text in PRESETS:
        return PRESETS[text]
    if not (isinstance(name_or_path, Path) or "/" in text or text.endswith((".yaml", ".yml"))):
        hint = did_you_mean(text, list(PRESETS))
        more = "" if hint.startswith("did") else "; or the name of a YAML file"
        raise UsageError(f"there is no policy {text[:100]!r}", hint=hint + more)
    root, problems = _read(read_document(Path(text)), text, ())
    if _OF_A_CLUSTER & root.entries.keys():
        return _validate(ClusterProfile, root, problems).policy
    if "policy" in {nearest(key, ("policy",)) for key in root.entries}:
        return _validate(PolicyFile, root, problems).policy
    return _validate(PolicySection, root, problems)


def load_card(name_or_path: Path | str, base: Path = Path()) -> DatasetCard:
    """A dataset card: a file, or a name that is looked up in `base`/datasets, then among those of the package.

    Args:
        name_or_path: what a person wrote.
        base: where that person stood.

    Raises:
        NotFound: there is no such card; the hint names those that there are.
        UsageError, SpecError: it cannot be read, or is wrong.
    """
    from orchestrator.spec.card import DatasetCard

    return _load(DatasetCard, _find(name_or_path, "datasets", "dataset card", base))


def freeze_workload(workload: Workload) -> str:
    """The resolved workload as JSON; `thaw_workload` makes an equal one of it."""
    return workload.model_dump_json(indent=1) + "\n"


def thaw_workload(text: str) -> Workload:
    """The workload that was frozen.

    Raises:
        SpecError: the text is not a frozen workload.
    """
    from pydantic import ValidationError

    from orchestrator.spec.workload import RECIPES, CommandWorkload

    try:
        document = json.loads(text)
        model = CommandWorkload if "command" in document else RECIPES[document["recipe"]]
        return model.model_validate(document)
    except (ValidationError, ValueError, KeyError, TypeError) as error:
        raise SpecError(f"not a frozen workload: {error}") from None


def _load(model: type[D], path: Path) -> D:
    root, problems = _read(read_document(path), str(path), ())
    return _validate(model, root, problems)


def _read(text: str | bytes, filename: str, overrides: Sequence[str]) -> tuple[Mapping, list[Diagnostic]]:
    root, problems = compose(decode(text, filename))
    if root is None:
        raise refusal(problems)
    root, wrong = apply_overrides(root, overrides)
    problems += wrong
    if isinstance(root, Mapping):
        return root, problems
    empty = isinstance(root, Scalar) and root.value is None
    message = "the document is empty" if empty else "expected keys and values at the top of the document"
    raise refusal([*problems, Diagnostic.at(root.mark, message)])


def _kind(root: Mapping) -> tuple[Mapping, str, list[Diagnostic]]:
    """The workload, the key that says what it runs (empty where it has none), and what is wrong with that."""
    named = _named_kinds(root)
    if not named:
        hint = "`recipe: regnet` trains or searches, `command: …` runs any program"
        return root, "", [Diagnostic.at(root.mark, "a workload needs a recipe or a command", hint)]
    marks = {key: root.entries[key].mark for key in named.values()}
    wrong = [
        Diagnostic.at(marks[key], f"unknown key '{key}'", did_you_mean(key, KINDS))
        for key in named.values()
        if key not in KINDS
    ]
    if len(named) > 1:
        last = max(marks.values(), key=lambda mark: (mark.source.option, mark))
        wrong.append(Diagnostic.at(last, "a workload has a recipe or a command, not both", "leave one out"))
    kind = next(iter(named)) if len(named) == 1 else "recipe" if _OF_RECIPES & root.entries.keys() else "command"
    others = {key for meant, key in named.items() if meant != kind}
    entries = {kind if key == named[kind] else key: e for key, e in root.entries.items() if key not in others}
    return Mapping(root.mark, entries), kind, wrong


def _named_kinds(root: Mapping) -> dict[str, str]:
    """The keys of `KINDS` that a workload has, as it writes them."""
    named = {key: key for key in KINDS if key in root.entries}
    for likeness in (0.8, 0.6):
        for key in root.entries:
            meant = nearest(key, KINDS, likeness)
            if meant is not None and (likeness == 0.8 or not named):
                named.setdefault(meant, key)
    return named


def _validate(model: type[D], root: Node, problems: list[Diagnostic]) -> D:
    from pydantic import ValidationError

    try:
        document = model.model_validate(plain(root))
    except ValidationError as error:
        from orchestrator.spec.explain import explain, respelt
        from orchestrator.spec.hidden import hidden

        read, misspelt = respelt(error, model, root)
        if misspelt:
            return _validate(model, read, [*problems, *misspelt])
        found = explain(error, model, root)
        if (more := hidden(error, model, root)) is not None:
            found += explain(more, model, root)
        raise refusal([*problems, *found]) from None
    if problems:
        raise refusal(problems)
    return document


def _find(name_or_path: Path | str, folder: str, what: str, base: Path = Path()) -> Path:
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or "/" in text or text.endswith((".yaml", ".yml")):
        return base / name_or_path
    places = (base / folder, bundled(folder))
    known = {path.stem: path for place in reversed(places) for path in sorted(place.glob("*.yaml"))}
    if text not in known:
        beside = next((name for name in (f"{text}.yaml", f"{text}.yml") if (base / name).is_file()), "")
        hint = f"did you mean the file {beside!r}?" if beside else did_you_mean(text, sorted(known))
        raise NotFound(f"there is no {what} {text[:100]!r}", hint=hint)
    return known[text]
