"""Errors are charged to the right budget."""

from __future__ import annotations

import errno

import pytest
import torch

from orchestrator.base.errors import Conflict, Fenced, NotFound, ShardCorrupt, TimedOut, UsageError
from orchestrator.lifecycle.failures import FailureClass
from orchestrator.recipes.failure import describe, failure_class, report
from orchestrator.training.checkpoint import GivenUp
from orchestrator.training.step import NonFiniteLoss


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (NonFiniteLoss("the training loss is nan"), "application"),
        (ValueError("a bug"), "application"),
        (ShardCorrupt("shard s3://b/x"), "data"),
        (ShardCorrupt("shard x", lasting=True), "permanent"),
        (NotFound("dataset x is not built"), "data"),
        (UsageError("batch norm needs 2"), "permanent"),
        (Conflict("another training"), "permanent"),
        (Fenced("older token"), "infrastructure"),
        (GivenUp("worker 1 could not write its part"), "infrastructure"),
        (TimedOut("nothing was heard of worker 1"), "infrastructure"),
        (MemoryError(), "out_of_memory"),
        (torch.OutOfMemoryError("CUDA out of memory"), "out_of_memory"),
        (OSError(errno.ENOSPC, "No space left on device"), "infrastructure"),
        (RuntimeError("[gloo/transport/tcp/pair.cc:534] Connection closed by peer"), "infrastructure"),
    ],
)
def test_every_error_has_its_class(error: BaseException, expected: str) -> None:
    assert failure_class(error) == FailureClass(expected)


def test_the_log_has_a_traceback_of_what_nobody_foresaw_only(capsys: pytest.CaptureFixture[str]) -> None:
    report(ShardCorrupt("shard x is truncated", hint="copy it again"))
    assert capsys.readouterr().err == "error: shard x is truncated\n  hint: copy it again\n"
    report(KeyError("x"))
    assert "KeyError: 'x'" in capsys.readouterr().err


def test_a_description_says_what_to_do() -> None:
    assert describe(UsageError("it is wrong", hint="mend it")) == "it is wrong (mend it)"
    assert describe(KeyError("x")) == "KeyError: 'x'"
