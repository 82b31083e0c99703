import math

import pytest
import torch

from coembed.evaluation.spectrum import band_power, power


def test_all_bands_together_are_the_variance():
    fields = torch.rand(3, 2, 16, 12, generator=torch.Generator().manual_seed(0))
    total = sum(power(fields).values())
    torch.testing.assert_close(total, fields.var((-1, -2), correction=0).mean(1))


@pytest.mark.parametrize(("wavelength", "band"), [(2.1, 2), (5, 4), (9, 8), (16, 16), (32, 32), (64, 64)])
def test_a_wave_lies_in_the_band_of_its_length(wavelength, band):
    x = torch.arange(32) + 0.5
    # Whole half-waves fit the field, as the transform's own do.
    halves = max(1, round(64 / wavelength))
    wave = torch.cos(math.pi * halves * x / 32).expand(1, 1, 32, 32)
    found = power(wave)
    assert found[band].item() == pytest.approx(sum(found.values()).item(), rel=1e-4)


def test_white_noise_lacks_nothing_and_blur_lacks_the_short_waves():
    g = torch.Generator().manual_seed(0)
    truth = torch.randn(50, 1, 32, 32, generator=g)
    blurred = torch.nn.functional.avg_pool2d(torch.randn(200, 1, 32, 32, generator=g), 3, 1, 1).view(
        4, 50, 1, 32, 32
    )
    same = band_power(torch.randn(4, 50, 1, 32, 32, generator=g), truth)
    less = band_power(blurred, truth)
    ratio = {k: (less[k][0].sum() / less[k][1].sum()).item() for k in less}
    assert all(
        a.sum().item() == pytest.approx(b.sum().item(), rel=0.15) for k, (a, b) in same.items() if k < 32
    )
    assert ratio[2] < 0.1 and ratio[16] > 0.6
    assert list(ratio) == sorted(ratio)
