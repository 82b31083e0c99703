import pytest
import torch

from coembed.data.pairs import TensorPairs
from coembed.errors import ConfigError
from coembed.evaluation import manifold
from coembed.evaluation.manifold import PairFeatures, nearest_distance, prdc


def by_hand(real, generated, k):
    """The four measures point by point, straight from their definitions."""
    radius = lambda points, i: sorted((points[i] - p).norm().item() for p in points)[k]  # noqa: E731
    of_real = [radius(real, i) for i in range(len(real))]
    of_generated = [radius(generated, i) for i in range(len(generated))]
    near = lambda a, b, r: (a - b).norm().item() <= r  # noqa: E731
    return {
        "precision": [float(any(near(g, r, of_real[j]) for j, r in enumerate(real))) for g in generated],
        "density": [sum(near(g, r, of_real[j]) for j, r in enumerate(real)) / k for g in generated],
        "recall": [float(any(near(g, r, of_generated[j]) for j, g in enumerate(generated))) for r in real],
        "coverage": [float(any(near(g, r, of_real[j]) for g in generated)) for j, r in enumerate(real)],
    }


def test_measures_are_those_of_their_definitions(monkeypatch):
    monkeypatch.setattr(manifold, "_ROWS", 7)
    g = torch.Generator().manual_seed(0)
    real, generated = torch.randn(25, 3, generator=g), 0.6 * torch.randn(20, 3, generator=g) + 0.5
    found = prdc(real, generated, 3)
    for key, expected in by_hand(real, generated, 3).items():
        assert found[key].tolist() == pytest.approx(expected)


def test_a_lost_mode_costs_recall_and_coverage_and_noise_costs_precision_and_density():
    g = torch.Generator().manual_seed(0)

    def points(share, count=400, spread=0.3):
        side = torch.where(torch.rand(count, 1, generator=g) < share, 1.0, -1.0)
        return side * torch.tensor([3.0, 0.0]) + spread * torch.randn(count, 2, generator=g)

    real = points(0.5)
    means = lambda other: {key: values.mean().item() for key, values in prdc(real, other).items()}  # noqa: E731
    same, one, wide = means(points(0.5)), means(points(1.0)), means(points(0.5, spread=1.5))
    assert min(same["precision"], same["recall"], same["coverage"]) > 0.9 and same["density"] > 0.85
    assert one["precision"] > 0.9 and one["recall"] < 0.6 and one["coverage"] < 0.6
    assert wide["precision"] < 0.6 and wide["density"] < 0.5 and wide["recall"] > 0.9


def test_features_weigh_both_layers_alike_and_find_the_leading_directions():
    g = torch.Generator().manual_seed(0)
    condition = 100 * torch.rand(300, 3, 4, 4, generator=g)
    strong = torch.randn(300, 1, 1, 1, generator=g) * torch.linspace(-1, 1, 8).view(1, 1, 8, 1)
    field = (strong + 0.01 * torch.randn(300, 1, 8, 8, generator=g)) / 50
    features = PairFeatures.fit(condition, field, directions=4)
    found = features(condition, field)
    assert found.shape == (300, 8)
    assert found[:, :4].square().sum(1).mean().item() == pytest.approx(1, rel=1e-3)
    assert found[:, 4:].square().sum(1).mean().item() == pytest.approx(1, rel=1e-3)
    leading = torch.corrcoef(torch.stack([found[:, 4], strong[:, 0, 0, 0]]))[0, 1].abs()
    assert leading > 0.999


def test_the_nearest_training_field_is_exact_and_a_copy_is_at_zero():
    g = torch.Generator().manual_seed(0)
    training = TensorPairs(torch.rand(70, 1, 4, 4, generator=g), torch.rand(70, 1, 4, 4, generator=g))
    fields = torch.cat([training.field([33]), torch.rand(5, 1, 4, 4, generator=g)])
    found = nearest_distance(fields, training)
    every = (fields[:, None] - training.field(slice(0, 70))).square().mean((-1, -2, -3)).sqrt()
    assert found[0] == 0
    torch.testing.assert_close(found, every.min(1).values)


def test_too_few_points_are_refused():
    with pytest.raises(ConfigError, match="neighbours: got 5 with 5 real and 9 generated points"):
        prdc(torch.rand(5, 2), torch.rand(9, 2))
