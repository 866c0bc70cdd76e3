"""What a Slurm has and lacks."""

from collections.abc import Callable

import pytest

from orchestrator.backends.slurm.commands import Slurm
from orchestrator.backends.slurm.probe import missing_programs, read

CONFIGURATION = """Configuration data as of 2026-11-22T00:00:00
AccountingStorageType   = {storage}
ClusterName             = lab
MinJobAge               = {age} sec
SLURM_VERSION           = 23.11.4
"""


def test_version_name_and_accounting_are_read() -> None:
    found = read(CONFIGURATION.format(storage="accounting_storage/slurmdbd", age=300))
    assert (found.version, found.cluster, found.accounting, found.memory) == ("23.11.4", "lab", True, 300)
    assert not found.lacks


@pytest.mark.parametrize("storage", ["accounting_storage/none", "(null)"])
def test_a_slurm_without_accounting_is_told_in_words(storage: str) -> None:
    found = read(CONFIGURATION.format(storage=storage, age=300))
    assert not found.accounting
    assert "no accounting" in found.lacks[0]


def test_accounting_without_sacct_is_none() -> None:
    found = read(CONFIGURATION.format(storage="accounting_storage/slurmdbd", age=300), sacct=False)
    assert not found.accounting
    assert "sacct is missing" in found.lacks[0]


def test_a_short_memory_matters_where_there_is_no_accounting() -> None:
    assert not read(CONFIGURATION.format(storage="accounting_storage/slurmdbd", age=2)).lacks
    assert "MinJobAge" in read(CONFIGURATION.format(storage="(null)", age=2)).lacks[1]


def test_what_cannot_be_read_is_taken_for_the_usual() -> None:
    assert read("hello").memory == 300


def test_missing_programs_are_named_with_what_does_not_work(programs: Callable[..., Slurm]) -> None:
    missing = missing_programs(programs(squeue="true", scontrol="true"))
    assert [text.split(" is missing: ")[0] for text in missing] == ["sbatch", "scancel"]
