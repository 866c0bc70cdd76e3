"""torch.compile such that the bits do not depend on what a process has compiled before."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from orchestrator.base.errors import UsageError

_MOST_FORMS = 64


def compile_model(model: nn.Module) -> None:
    """Compile the model's calls, in place; names stay, and a second call changes nothing.

    Each shape of a batch has a program of its own: one for all shapes, which torch makes when it sees a second one,
    rounds otherwise, and who has seen which shapes depends on the world sizes so far.
    """
    if model._compiled_call_impl is not None:
        return
    # Imported where it is used: 3.5 s that a worker without it does not need to spend.
    import torch._dynamo.config as dynamo

    dynamo.recompile_limit = max(dynamo.recompile_limit, _MOST_FORMS)
    dynamo.fail_on_recompile_limit_hit = True  # else it would go on uncompiled, with other bits
    model.compile(dynamic=False)


@contextmanager
def compiled_calls() -> Iterator[None]:
    """Around calls of a model that may be compiled.

    Raises:
        UsageError: there are more shapes of batches than programs that are kept.
    """
    try:
        yield
    except Exception as error:
        exceptions = sys.modules.get("torch._dynamo.exc")  # not imported for those who compile nothing
        if exceptions is None or not isinstance(error, exceptions.FailOnRecompileLimitHit):
            raise
        raise UsageError(
            f"train.compile: the model was compiled for {_MOST_FORMS} shapes of batches, and there are still others",
            hint="set train.compile: false, or let the recipe make batches of fewer shapes",
        ) from error
