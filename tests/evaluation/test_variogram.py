import numpy as np
import pytest
import scoringrules
import torch

from coembed.errors import ConfigError
from coembed.evaluation.variogram import variogram_score
from coembed.numerics.scoring_rules import energy_score


def draw(n, batch=3, c=2, h=6, w=5, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(n, batch, c, h, w, generator=g), torch.randn(batch, c, h, w, generator=g)


def weights(c, h, w, lags):
    """The weight of every pair of pixels that the docstring states, as the matrix scoringrules takes."""
    index = np.arange(c * h * w).reshape(c, h, w)
    found = np.zeros((c * h * w, c * h * w))
    groups = [(lag, axis) for lag in lags for axis in (1, 2) if lag < index.shape[axis]]
    for lag, axis in groups:
        length = index.shape[axis]
        one = np.take(index, range(length - lag), axis).ravel()
        other = np.take(index, range(lag, length), axis).ravel()
        found[one, other] = 1 / (len(one) * len(groups))
    return found


@pytest.mark.parametrize("fair", [False, True])
@pytest.mark.parametrize("power", [0.5, 1.0])
def test_it_agrees_with_scoringrules(fair, power):
    samples, truth = draw(7)
    expected = scoringrules.vs_ensemble(
        truth.flatten(1).double().numpy(),
        samples.flatten(2).movedim(0, 1).double().numpy(),
        w=np.broadcast_to(weights(2, 6, 5, (1, 2, 4)), (3, 60, 60)),
        p=power,
        estimator="fair" if fair else "nrg",
    )
    # The lag of 8 has no room in a field of 6 x 5 and is left out.
    found = variogram_score(samples, truth, (1, 2, 4, 8), power, fair=fair)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5)


def test_it_sees_wrong_correlations_that_the_energy_score_hardly_does():
    g = torch.Generator().manual_seed(0)
    rough = lambda *shape: torch.randn(*shape, 1, 8, 8, generator=g)  # noqa: E731
    flat = lambda *shape: torch.randn(*shape, 1, 1, 1, generator=g).expand(*shape, 1, 8, 8)  # noqa: E731
    truth, right, wrong = rough(200), rough(20, 200), flat(20, 200)
    ratio = {
        score.__name__: (score(wrong, truth).mean() / score(right, truth).mean()).item()
        for score in (variogram_score, energy_score)
    }
    assert ratio["variogram_score"] > 5 * ratio["energy_score"] > 5


def test_its_expectation_does_not_depend_on_the_number_of_samples():
    samples, truth = draw(12, batch=800, c=1, h=3, w=3)
    few, many = (variogram_score(samples[:n], truth).mean().item() for n in (2, 12))
    assert few == pytest.approx(many, rel=0.04)


def test_mistakes_are_named():
    samples, truth = draw(3)
    with pytest.raises(ConfigError, match="got 1 a condition, expected at least 2"):
        variogram_score(samples[:1], truth)
    with pytest.raises(ConfigError, match=r"lags: got \(7,\), expected one from 1 to 5"):
        variogram_score(samples, truth, (7,))
