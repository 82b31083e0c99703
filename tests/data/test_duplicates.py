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


def test_in_a_mirror_a_motion_to_the_right_is_one_to_the_left():
    condition, field = fields(8, 0, 3), fields(8, 1, 2) - 0.5
    turned = field.flip(3).clone()
    turned[:, 0] *= -1
    known, asked = TensorPairs(condition, field), TensorPairs(condition.flip(3), turned)
    assert near_duplicates(asked, known, vector=True) == list(range(8))
    assert near_duplicates(asked, known) == []
    assert near_duplicates(known, known, vector=True) == list(range(8))


def test_rounding_on_a_flat_field_is_flat_and_what_is_asked_together_does_not_matter():
    condition, field = fields(6, 0), torch.full((6, 1, 24, 24), 0.3)
    noise = 1e-7 * torch.randn(6, 1, 24, 24, generator=torch.Generator().manual_seed(1))
    known = TensorPairs(condition, field)
    assert near_duplicates(TensorPairs(condition, field + noise), known) == list(range(6))
    faint = TensorPairs(condition, 1e-5 * fields(6, 2))
    both = TensorPairs(condition, torch.cat([1e-5 * fields(6, 2)[:3], fields(6, 2)[3:]]))
    assert near_duplicates(both, faint)[:3] == near_duplicates(faint, faint)[:3] == [0, 1, 2]


def test_a_handful_of_cells_says_nothing():
    pairs = TensorPairs(torch.rand(5, 1, 1, 1), torch.rand(5, 1, 1, 1))
    assert near_duplicates(pairs, pairs) == []
