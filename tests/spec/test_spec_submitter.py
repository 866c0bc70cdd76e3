"""What a submit takes over from the shell that it comes from."""

import pytest
from pydantic import ValidationError

from orchestrator.spec.messages import SubmitRequest
from orchestrator.spec.submitter import LONGEST, submitter_environment


def test_only_where_programs_are_found_is_taken_over() -> None:
    shell = {"PATH": "/a:/b", "CONDA_PREFIX": "/c", "HOME": "/home/ann", "SECRET": "x", "ORCHESTRATOR_TOKEN": "t"}
    assert submitter_environment(shell) == {"PATH": "/a:/b", "CONDA_PREFIX": "/c"}


@pytest.mark.parametrize("value", ["", "two\nlines", "nul\0", "half \udc80", "x" * (LONGEST + 1)])
def test_a_value_that_is_no_line_is_left_out_by_the_client_and_refused_by_the_server(value: str) -> None:
    assert submitter_environment({"PATH": value}) == {}
    with pytest.raises(ValidationError, match="PATH"):
        SubmitRequest(source="x", workdir="/", environment={"PATH": value})


def test_the_server_refuses_every_other_variable() -> None:
    with pytest.raises(ValidationError, match="others belong in `env`"):
        SubmitRequest(source="x", workdir="/", environment={"LD_PRELOAD": "/evil.so"})
