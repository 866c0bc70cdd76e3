"""Which rows go where: pure, for any two numbers of workers."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.training.layout.shards import Item, Move, Piece, Resharding, name_of, rounds, shard_rows

sizes = st.integers(1, 9)


@given(st.integers(0, 40), sizes)
def test_rows_are_cut_as_torch_chunks_them(length: int, size: int) -> None:
    chunks = [list(chunk) for chunk in torch.arange(length).chunk(size)] if length else []
    found = [list(shard_rows(length, rank, size)) for rank in range(size)]
    assert [rows for rows in found if rows] == [rows for rows in chunks if rows]


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9)), max_size=6), st.integers(1, 400))
def test_rounds_cover_every_row_once_and_stay_below_the_limit(shapes: list[tuple[int, int]], limit: int) -> None:
    items = [Item(str(place), shape, torch.float32, sharded=True) for place, shape in enumerate(shapes)]
    found = list(rounds(items, limit))
    seen = [(piece.item.key, row) for pieces in found for piece in pieces for row in piece.rows]
    assert seen == [(item.key, row) for item in items for row in range(item.length)]
    for pieces in found:
        sent = sum(len(piece.rows) * piece.item.row_bytes for piece in pieces)
        assert sent <= limit or sum(len(piece.rows) for piece in pieces) == 1


@given(st.integers(1, 40), sizes, sizes, st.data())
def test_every_member_gets_each_of_its_rows_once_from_somebody_who_holds_it(
    length: int, before: int, members: int, data: st.DataObject
) -> None:
    item = Item("model/weight", (length, 3), torch.float32, sharded=True)
    workers = max(before, members)
    holder = st.lists(st.integers(0, workers - 1), min_size=1, max_size=2, unique=True).map(tuple)
    holders = tuple(data.draw(holder) for _ in range(before))
    moves = list(Resharding(holders, members).moves([Piece(item, range(length))]))
    for target in range(members):
        got = sorted(row for move in moves if move.target == target for row in move.rows)
        assert got == list(item.rows(target, members))
    for move in moves:
        assert move.source in holders[move.part]
        assert set(move.rows) <= set(item.rows(move.part, before))
        assert move.source == move.target or move.target not in holders[move.part]


def test_what_is_not_sharded_goes_to_every_member() -> None:
    item = Item("model/running_mean", (5,), torch.float32, sharded=False)
    moves = list(Resharding(((0,), (1,)), 3).moves([Piece(item, range(1))]))
    assert [(move.source, move.target) for move in moves] == [(0, 0), (1, 1), (0, 2)]
    assert isinstance(moves[0], Move)


def test_a_key_names_a_parameter_whatever_stands_before_it() -> None:
    keys = ("model/a.b", "optimizer/velocity/a.b", "ema/a.b")
    assert {name_of(key) for key in keys} == {"a.b"}
