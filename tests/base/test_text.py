import pytest

from orchestrator.base.text import binary, inert, one_line


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("a\rb\x08c\x00", "abc"),
        ("left‮right", "leftright"),
        ("kept\ttab\nand line", "kept\ttab\nand line"),
        ("ünï – 数", "ünï – 数"),
    ],
)
def test_what_could_act_on_a_terminal_is_taken_out(hostile: str, shown: str) -> None:
    assert inert(hostile) == shown


def test_one_line_is_one_line_and_bounded() -> None:
    assert one_line("a\n b\t c") == "a b c"
    assert one_line("x" * 300, limit=10) == "x" * 9 + "…"


def test_sizes_are_told_in_full_however_large() -> None:
    assert [binary(size << 40) for size in (4, 9_998, 16_384)] == ["4 TiB", "9998 TiB", "16,384 TiB"]
    assert binary(3 << 29) == "1.5 GiB"
