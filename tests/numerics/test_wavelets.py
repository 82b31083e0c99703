"""Orthonormal, invertible, blind to what is constant; Haar's where the order is 1."""

import pytest
import torch

from coembed.errors import ConfigError
from coembed.numerics.wavelets import Wavelets, filter_bank


@pytest.mark.parametrize("order", [1, 3, 5])
@pytest.mark.parametrize("shape", [(1, 16, 16), (2, 8, 24), (3, 6, 10)])
def test_the_transform_keeps_lengths_and_comes_back(shape, order):
    wavelets = Wavelets(shape, 1, order)
    field = torch.randn(5, 4, *shape)
    found = wavelets(field)
    assert found.shape == (5, 4, sum(wavelets.sizes)) and sum(wavelets.sizes) == field[0, 0].numel()
    torch.testing.assert_close(found.square().sum(-1), field.square().sum((2, 3, 4)), rtol=1e-4, atol=0)
    torch.testing.assert_close(wavelets.inverse(found), field, rtol=0, atol=1e-5)


def test_groups_run_coarse_to_fine_and_a_constant_has_no_details():
    wavelets = Wavelets((2, 16, 16), 3, 3)
    assert wavelets.sides == [(2, 2), (2, 2), (4, 4), (8, 8)] and wavelets.sizes == [8, 24, 96, 384]
    coarse, *details = wavelets.split(wavelets(torch.full((1, 2, 16, 16), 0.7)))
    torch.testing.assert_close(coarse, torch.full_like(coarse, 0.7 * 8))
    assert all(part.abs().max() < 1e-5 for part in details)
    assert wavelets.expand(torch.tensor([[1.0, 2, 3, 4]])).sum() == 8 + 48 + 288 + 1536


def test_order_1_is_haars():
    bank = filter_bank(4, 1)
    half = 0.5**0.5
    wanted = torch.tensor([[half, half, 0, 0], [0, 0, half, half], [-half, half, 0, 0], [0, 0, -half, half]])
    torch.testing.assert_close(bank, wanted)


def test_order_3_is_smooth_in_the_middle():
    """A slope has no details where no border is near; Haar's have."""
    slope = torch.arange(32.0)
    for order, least in ((1, 0.5), (3, 0.0)):
        details = filter_bank(32, order)[16:] @ slope
        assert details[8].abs() >= least and (order == 1 or details[8].abs() < 1e-3)


def test_no_levels_leave_fields_as_they_are_and_odd_sides_are_refused():
    field = torch.randn(2, 1, 5, 3)
    assert torch.equal(Wavelets((1, 5, 3), 0, 3)(field), field.flatten(1))
    with pytest.raises(ConfigError, match="levels: got 2 for 6 x 8"):
        Wavelets((1, 6, 8), 2, 3)
    with pytest.raises(ConfigError, match="order: got 2, expected an odd number"):
        filter_bank(8, 2)
