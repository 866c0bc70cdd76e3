"""What is compiled, and how often; that it changes no bit over workers is in test_replicated_layout."""

from __future__ import annotations

from torch import nn

from orchestrator.training.compilation import compile_model


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
