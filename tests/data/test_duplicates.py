"""Copies of training pairs are found, whatever was done to them on the way; like things are not copies."""

import torch

from coembed.data.duplicates import near_duplicates
from coembed.data.pairs import TensorPairs


def fields(count, seed, channels=1, size=24):
    generator = torch.Generator().manual_seed(seed)
    rough = torch.rand(count, channels, 6, 6, generator=generator)
    return torch.nn.functional.interpolate(rough, (size, size), mode="bilinear")


def test_copies_are_found_resaved_brighter_or_mirrored():
    condition, field = fields(40, 0, 3), fields(40, 1)
    noise = 0.01 * torch.randn(40, 3, 24, 24, generator=torch.Generator().manual_seed(2))
    known = TensorPairs(condition, field)
    asked = TensorPairs(
        torch.cat([fields(5, 3, 3), (0.8 * condition + 0.1 + noise)[7:9], condition[[11]].flip(3)]),
        torch.cat([fields(5, 4), field[7:9], field[[11]].flip(3)]),
    )
    assert near_duplicates(asked, known) == [5, 6, 7]
    assert near_duplicates(known, known) == list(range(40))


def test_one_layer_alone_does_not_make_a_copy():
    condition, field = fields(10, 0), fields(10, 1)
    known = TensorPairs(condition, field)
    assert near_duplicates(TensorPairs(condition, fields(10, 5)), known) == []
    assert near_duplicates(TensorPairs(fields(10, 5), field), known) == []


def test_flat_fields_agree_with_flat_fields_only():
    condition, field = fields(6, 0), fields(6, 1)
    field[3:] = 0.0
    assert near_duplicates(TensorPairs(condition, field), TensorPairs(condition, field)) == list(range(6))
    assert near_duplicates(TensorPairs(condition, 1 - field), TensorPairs(condition, fields(6, 1))) == []
    grey = TensorPairs(condition, torch.zeros(6, 1, 24, 24))
    assert near_duplicates(grey, TensorPairs(condition, field)) == [3, 4, 5]


def test_crops_of_known_photos_are_not_looked_at():
    condition, field = fields(4, 0), fields(4, 1)
    names = ["a.jpg", "a.jpg#1", "b.jpg", "b.jpg#1"]
    known = TensorPairs(condition, field, names)
    assert near_duplicates(TensorPairs(condition, field), known) == [0, 2]


def test_many_pairs_are_compared_in_pieces(monkeypatch):
    monkeypatch.setattr("coembed.data.duplicates._AT_ONCE", 7)
    condition, field = fields(30, 0), fields(30, 1)
    known = TensorPairs(condition, field)
    assert near_duplicates(known[list(range(3, 30, 5))], known) == list(range(6))
    assert near_duplicates(TensorPairs(fields(30, 8), fields(30, 9)), known) == []
