from pathlib import Path

import torch
from peers.score import Options, at

from coembed.data.pairs import Subset
from coembed.evaluation.evaluate import evaluate


class Noise:
    def sample(self, condition, n, *, generator=None, temperature=1.0):
        return generator.normal(n, 64).view(n, len(condition), 1, 8, 8)


def _options(limit, slow):
    return Options(limit, slow, samples=4, slow_samples=4, seed=0, cache=Path())


def test_slow_rows_are_scored_on_pairs_spread_over_all_that_others_are_scored_on():
    assert _options(10, 5).few(100) == [0, 2, 4, 6, 8]
    assert _options(1000, 3).few(9) == [0, 3, 6], "a small store has fewer pairs than the limit"
    assert _options(4, 50).few(100) == [0, 1, 2, 3]


def test_scores_of_some_photos_are_those_of_their_rows_and_names():
    generator = torch.Generator().manual_seed(0)
    condition, field = torch.rand(6, 1, 8, 8, generator=generator), torch.rand(6, 1, 8, 8, generator=generator)
    whole = evaluate(Noise(), (condition, field), samples=4)
    some = at(whole, [1, 4])
    assert some.conditions == 2
    assert some.values["skill"] == (whole.values["skill"][1], whole.values["skill"][4])
    assert some.names == (whole.names[1], whole.names[4])
    assert at(some, [1, 4]) is some


def test_a_subset_has_the_names_of_its_rows():
    class Named:
        names = ("a", "b", "c")

    assert Subset(Named(), torch.tensor([2, 0])).names == ["c", "a"]
