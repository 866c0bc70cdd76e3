"""What is compiled, and how often; that it changes no bit over workers is in test_replicated_layout."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from orchestrator.base.errors import UsageError
from orchestrator.training.compilation import compile_model, compiled_calls


def test_a_model_is_compiled_once_and_its_names_stay() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    compile_model(model)
    compiled = model._compiled_call_impl
    compile_model(model)
    assert compiled is not None
    assert model._compiled_call_impl is compiled
    assert list(model.state_dict()) == ["0.weight", "0.bias"]


def test_a_process_gives_up_rather_than_go_on_uncompiled() -> None:
    import torch._dynamo.config as dynamo

    compile_model(nn.Linear(2, 2))
    assert dynamo.fail_on_recompile_limit_hit
    assert dynamo.recompile_limit >= 64


def test_more_shapes_than_programs_are_an_error_that_names_the_key() -> None:
    import torch._dynamo.config as dynamo

    model = nn.Linear(2, 2)
    compile_model(model)
    model.compile(dynamic=False, backend="eager")

    def call(samples: int) -> None:
        with compiled_calls():
            model(torch.zeros(samples, 2))

    with dynamo.patch(recompile_limit=2):
        call(2)
        call(3)
        with pytest.raises(UsageError, match=r"train\.compile") as caught:
            call(4)
    assert "train.compile: false" in caught.value.hint


def test_other_errors_of_a_compiled_call_stay_what_they_are() -> None:
    with pytest.raises(ValueError, match="other"), compiled_calls():
        raise ValueError("other")
