from orchestrator.base import errors


def _leaves(root: type[Exception]) -> list[type[Exception]]:
    return [root, *(leaf for child in root.__subclasses__() for leaf in _leaves(child))]


def test_every_error_stands_in_the_drawn_tree() -> None:
    drawn = errors.__doc__ or ""
    ours = [e for e in _leaves(errors.OrchestratorError) if e.__module__ == errors.__name__]
    assert [e.__name__ for e in ours if e.__name__ not in drawn] == []


def test_exit_codes_are_frozen() -> None:
    expected = {
        "OrchestratorError": 1,
        "UsageError": 2,
        "SpecError": 2,
        "ServerUnreachable": 3,
        "NotAllowed": 4,
        "NotFound": 5,
        "Conflict": 6,
        "TimedOut": 7,
    }
    assert {name: getattr(errors, name).exit_code for name in expected} == expected


def test_a_hint_stands_on_a_line_of_its_own() -> None:
    assert str(errors.NotFound("no job j-1", hint="orchestrator jobs lists them")) == (
        "no job j-1\n  hint: orchestrator jobs lists them"
    )
