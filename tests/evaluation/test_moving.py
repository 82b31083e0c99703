"""Pans, still backgrounds and motion inside a mask, of motions whose values are known."""

import pytest
import torch

from coembed.evaluation.moving import STILL, energy_inside, is_still, pan_share, scores


def pan(x, y, size=8):
    return torch.tensor([x, y]).view(2, 1, 1).expand(2, size, size).clone()


def test_pan_share_is_1_for_a_pan_and_0_for_a_zoom_or_nothing():
    zoom = torch.stack(torch.meshgrid(torch.linspace(-1, 1, 8), torch.linspace(-1, 1, 8), indexing="xy"))
    assert pan_share(torch.stack([pan(0.2, -0.1), zoom, torch.zeros(2, 8, 8)])).tolist() == pytest.approx(
        [1, 0, 0]
    )
    mixed = pan(0.3, 0.0) + 0.3 * zoom / zoom.square().sum(0).mean().sqrt()
    assert float(pan_share(mixed)) == pytest.approx(0.5, abs=1e-5)


def test_a_background_is_still_if_more_than_half_of_the_frame_is():
    flow = torch.zeros(3, 2, 8, 8)
    flow[0, :, :4] = 1.0  # half
    flow[1, :, :3] = 1.0
    flow[2] = 0.9 * STILL / 2**0.5
    assert is_still(flow).tolist() == [False, True, True]


def test_energy_inside_over_outside_by_shares_of_cells():
    flow, mask = torch.full((2, 8, 8), 0.1), torch.zeros(8, 8)
    mask[:, 4:] = 1.0
    assert float(energy_inside(flow, mask)) == pytest.approx(1)
    flow[:, :, 4:] = 0.2
    assert float(energy_inside(flow, mask)) == pytest.approx(4)
    assert float(energy_inside(flow, 0.5 * mask)) == pytest.approx(4 / ((32 + 0.5 * 4 * 32) / 48))


def test_columns_are_means_over_draws():
    sampled = torch.stack([pan(0.2, 0.0), torch.zeros(2, 8, 8)])[:, None]
    found = scores(sampled, pan(0.0, 0.3)[None])
    assert {key: value.item() for key, value in found.items()} == pytest.approx(
        {"pan_samples": 0.5, "pan_truth": 1.0, "still_samples": 0.5, "still_truth": 0.0}
    )
