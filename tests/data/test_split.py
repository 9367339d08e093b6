import numpy as np

from data import split


def test_validation_samples_are_a_fixed_tenth():
    held_out = split.validation_samples(32560)
    assert len(held_out) == len(np.unique(held_out)) == 3256
    np.testing.assert_array_equal(held_out, split.validation_samples(32560))
    np.testing.assert_array_equal(split.validation_samples(16), split.validation_samples(16))
    assert [len(split.validation_samples(n)) for n in (1, 2, 5, 14, 16)] == [0, 1, 1, 1, 2]


def test_a_whole_group_is_held_out():
    groups = ["b"] * 3 + ["c"] * 20 + ["a"] * 5
    assert [groups[i] for i in np.flatnonzero(split.whole_group(groups))] == ["b"] * 3
    assert split.whole_group(["b", "a"]).tolist() == [False, True]
    assert not split.whole_group(["a", "a"]).any()
    assert not split.whole_group([]).any()
