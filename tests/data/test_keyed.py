import numpy as np

from orchestrator.data.keyed import below, derive_key, philox4x32, sample_words


def philox(counter: list[int], key: tuple[int, int]) -> list[int]:
    return philox4x32(np.array(counter, dtype=np.uint32).reshape(4, 1), key)[:, 0].tolist()


def test_philox_gives_the_published_known_answers() -> None:
    ones = 0xFFFFFFFF
    assert philox([0] * 4, (0, 0)) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert philox([ones] * 4, (ones, ones)) == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]
    digits_of_pi = [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344]
    assert philox(digits_of_pi, (0xA4093822, 0x299F31D0)) == [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]


def test_the_words_of_a_position_do_not_depend_on_its_batch() -> None:
    together = sample_words(7, 2, np.arange(100, dtype=np.int64), 1)
    alone = sample_words(7, 2, np.array([41], dtype=np.int64), 1)
    assert (together[:, 41] == alone[:, 0]).all()


def test_seed_epoch_stream_and_position_each_change_the_words() -> None:
    here = np.array([5], dtype=np.int64)
    base = sample_words(1, 1, here, 1).tolist()
    others = [sample_words(2, 1, here, 1), sample_words(1, 2, here, 1), sample_words(1, 1, here, 2)]
    others += [sample_words(1, 1, here + 1, 1), sample_words(1, 1, here + 2**32, 1)]
    assert all(other.tolist() != base for other in others)


def test_bounded_integers_are_uniform() -> None:
    drawn = below(sample_words(0, 0, np.arange(90_000, dtype=np.int64), 0)[0], 9)
    counts = np.bincount(drawn, minlength=9)
    assert len(counts) == 9
    assert ((counts - 10_000) ** 2 / 10_000).sum() < 30  # chi-square, 8 degrees of freedom, p < 0.0003


def test_keys_of_different_parts_never_run_together() -> None:
    assert len({derive_key("a", 1), derive_key("a1"), derive_key("a", "1"), derive_key("a", 1, "")}) == 4
