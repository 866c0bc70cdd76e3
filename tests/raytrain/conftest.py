"""A tiny RegNet on the real digits; the kits of the recipes' tests are importable by these."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from orchestrator.spec.regnet import RegNetWorkload

sys.path.insert(0, str(Path(__file__).parents[1] / "recipes"))


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits, built."""
    from tiny_kit import build_digits

    return build_digits(tmp_path_factory.mktemp("data") / "digits")


@pytest.fixture(scope="session")
def tiny(digits: Path) -> Callable[..., RegNetWorkload]:
    """A workload; keyword arguments change its sections: `tiny(train={"epochs": 3})`."""
    from tiny_kit import tiny_workload

    return partial(tiny_workload, digits)
