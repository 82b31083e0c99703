"""Changes in common, slopes on the own field, and draws by the same noise, in cases of known value."""

import pytest
import torch

from coembed.evaluation.change import same_noise_correlation, sample_with_own, scores
from coembed.numerics.random import Streams


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def ratio(found, above, below):
    return float(found[above].sum() / found[below].sum())


def test_the_share_in_common_is_that_of_the_mean_without_bias_by_few_samples():
    truth, common = normal(400, 1, 6, 6), 2.0 * normal(400, 1, 6, 6, seed=1)
    for n in (3, 50):
        sampled = truth + common + normal(n, 400, 1, 6, 6, seed=2)
        found = scores(sampled, truth[None], truth)
        assert ratio(found, "change_common", "change_all") == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize("kept", [1.0, 0.4, 0.0])
def test_the_slope_is_what_versions_keep_of_the_own_field(kept):
    truth = normal(50, 2, 6, 6) + 3.0
    sampled = kept * truth + normal(30, 50, 2, 6, 6, seed=3)
    found = scores(sampled, truth[None], truth)  # an edit adds sample less own to the truth
    assert ratio(found, "version_along", "own_along") == pytest.approx(kept, abs=0.04)


class Plain:
    def sample(self, condition, n, *, generator):
        return Streams.of(generator, len(condition)).normal(n, condition[0].numel()).view(n, *condition.shape)


class Reconstructing(Plain):
    def reconstruct(self, condition, field):
        return 0.5 * field


class Beside(Plain):
    @property
    def temperature_layers(self):
        return 1

    def sample(self, condition, n, *, generator, temperature=1.0):
        return temperature * super().sample(condition, n, generator=generator)

    def sample_beside(self, condition, field, n, *, generator, temperature=1.0):
        samples = self.sample(condition, n, generator=generator)
        return samples, samples - 1


def test_own_fields_are_counterparts_reconstructions_or_the_truth():
    condition, field = torch.rand(3, 1, 4, 4), torch.rand(3, 1, 4, 4)
    wanted = {Plain: field[None], Reconstructing: 0.5 * field[None]}
    for kind in (Plain, Reconstructing, Beside):
        samples, own = sample_with_own(kind(), condition, field, 5, Streams(0, range(3)))
        assert torch.equal(samples, Plain().sample(condition, 5, generator=Streams(0, range(3))))
        torch.testing.assert_close(own, wanted.get(kind, samples - 1))


class Shaped(Plain):
    """Noise in maps that the condition draws, mixed with maps that it does not."""

    def __init__(self, share):
        self.share = share

    def sample(self, condition, n, *, generator):
        noise = Streams.of(generator, len(condition)).normal(n, 1)[..., None, None]
        own = condition - condition.mean((2, 3), keepdim=True)
        everyone = torch.linspace(-1, 1, 64).view(1, 1, 8, 8).sin() + 2.0
        return noise * (self.share * own + (1 - self.share) * everyone)


def test_the_same_noise_means_the_same_only_where_photos_do_not_matter():
    condition = torch.rand(60, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    blind = same_noise_correlation(Shaped(0.0), condition)
    assert blind["same_noise"] == pytest.approx(1) and blind["same_noise_rough"] == pytest.approx(1)
    knowing = same_noise_correlation(Shaped(1.0), condition)
    assert abs(float(knowing["same_noise"].mean())) < 0.1
    half = same_noise_correlation(Shaped(0.6), condition)
    assert half["same_noise"].mean() > 0.6 > 0.2 > half["same_noise_rough"].mean()


def test_batches_change_nothing():
    condition = torch.rand(11, 1, 8, 8)
    found = [same_noise_correlation(Shaped(0.5), condition, batch=batch)["same_noise"] for batch in (3, 50)]
    torch.testing.assert_close(found[0], found[1])
