"""Full collections of garbage happen only when they are asked for; young garbage goes as ever."""

import gc

from orchestrator.base.collector import full_collections_by_hand


def _collections() -> tuple[int, int]:
    young, _, full = gc.get_stats()
    return young["collections"], full["collections"]


def test_no_full_collection_happens_by_itself_until_the_end() -> None:
    usual = gc.get_threshold()
    with full_collections_by_hand():
        young, full = _collections()
        kept = [[number] for number in range(400_000)]
        assert _collections()[0] > young + 100
        assert _collections()[1] == full
        gc.collect()
        assert _collections()[1] == full + 1
    assert gc.get_threshold() == usual
    assert len(kept) == 400_000
