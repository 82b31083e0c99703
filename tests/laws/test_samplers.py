"""Laws that every sampler keeps. A new sampler joins by one line in SAMPLERS."""

import pytest
import torch

from coembed.errors import CoEmbedError
from coembed.models.base import ClosedForm, Sampler
from coembed.models.registry import BASELINES, class_for, fit_closed_form, preset_config
from coembed.numerics.random import Streams

NEED_A_SOURCE = {"nearest-codes", "nearest-features"}


def preset(name):
    """A baseline by its preset's name, fitted or at its starting values."""

    def build(condition, field):
        config = preset_config(name, tuple(condition.shape[1:]), tuple(field.shape[1:]))
        model_class = class_for(config)
        if issubclass(model_class, ClosedForm):
            return model_class.fit(config, (condition, field))
        torch.manual_seed(0)
        model = model_class(config)
        model.initialise(condition, field)
        generator = torch.Generator().manual_seed(0)
        for _ in range(30):  # lets batch norms see data: without it nothing passes through
            model.loss(condition, field, generator=generator)
        return model.eval()

    return build


# name -> function from training conditions (64, 2, 8, 8) and fields (64, 1, 8, 8) to a sampler
SAMPLERS = {
    "nearest": lambda c, f: fit_closed_form("nearest", (c, f), smoothing=0.0),
    "nearest, smoothed": lambda c, f: fit_closed_form("nearest", (c, f), smoothing=1.0),
    "linear-Gaussian, clipped": lambda c, f: fit_closed_form("linear-gaussian", (c, f), clip=(0.0, 1.0)),
    "linear-Gaussian, truncated": lambda c, f: fit_closed_form("linear-gaussian", (c, f), rank=5),
    **{f"preset {name}": preset(name) for name in BASELINES if name not in NEED_A_SOURCE},
}
MEAN = {"preset regression"}  # all samples are the mean
IGNORES_SEED = {"nearest", "nearest, smoothed", "preset nearest", *MEAN}  # sample k is the k-th neighbour
IGNORES_CONDITION = {"preset random"}

# Float32 products round differently in batches of different size; nothing else may differ.
close = {"rtol": 0.0, "atol": 2e-5}


@pytest.fixture(scope="module")
def training():
    g = torch.Generator().manual_seed(0)
    condition = torch.rand(64, 2, 8, 8, generator=g)
    return condition, (0.7 * condition[:, :1] + 0.3 * torch.rand(64, 1, 8, 8, generator=g)).contiguous()


@pytest.fixture(scope="module")
def built(training):
    made = {}

    def build(name):
        if name not in made:
            made[name] = SAMPLERS[name](*training)
        return made[name]

    return build


@pytest.fixture(scope="module")
def conditions():
    return torch.rand(6, 2, 8, 8, generator=torch.Generator().manual_seed(1))


every = pytest.mark.parametrize("name", SAMPLERS)


@every
def test_it_is_a_sampler_and_the_sample_axis_stays(built, conditions, name):
    sampler = built(name)
    assert isinstance(sampler, Sampler)
    for n in (1, 3):
        drawn = sampler.sample(conditions, n, generator=0)
        assert drawn.shape == (n, 6, 1, 8, 8) and drawn.dtype == torch.float32
        assert drawn.isfinite().all()


@every
def test_a_condition_keeps_its_samples_in_any_batch(built, conditions, name):
    together = built(name).sample(conditions, 4, generator=Streams(5, range(6)))
    alone = built(name).sample(conditions[4:5], 4, generator=Streams(5, [4]))
    torch.testing.assert_close(alone[:, 0], together[:, 4], **close)
    turned = built(name).sample(conditions.flip(0), 4, generator=Streams(5, range(5, -1, -1)))
    torch.testing.assert_close(turned.flip(1), together, **close)


@every
def test_fewer_samples_are_the_first_of_more(built, conditions, name):
    many = built(name).sample(conditions, 7, generator=Streams(5, range(6)))
    few = built(name).sample(conditions, 3, generator=Streams(5, range(6)))
    torch.testing.assert_close(few, many[:3], **close)


@every
def test_samples_drawn_in_parts_are_those_drawn_at_once(built, conditions, name):
    if name in IGNORES_SEED:
        pytest.skip("has no stream to continue: the k-th sample is the k-th neighbour")
    whole = built(name).sample(conditions, 7, generator=Streams(5, range(6)))
    streams = Streams(5, range(6))
    parts = [built(name).sample(conditions, n, generator=streams) for n in (2, 1, 4)]
    torch.testing.assert_close(torch.cat(parts), whole, **close)


@every
def test_the_seed_decides(built, conditions, name):
    first = built(name).sample(conditions, 4, generator=0)
    assert torch.equal(first, built(name).sample(conditions, 4, generator=0))
    assert torch.equal(first, built(name).sample(conditions, 4, generator=Streams(0, range(6))))
    other = built(name).sample(conditions, 4, generator=1)
    assert torch.equal(first, other) == (name in IGNORES_SEED)


@every
def test_samples_of_one_condition_differ(built, conditions, name):
    drawn = built(name).sample(conditions, 4, generator=0)
    differ = bool((drawn[0] - drawn[1]).abs().flatten(1).amax(1).min() > 1e-3)
    assert differ == (name not in MEAN)


@every
def test_the_condition_matters(built, conditions, name):
    drawn = built(name).sample(conditions, 20, generator=0)
    other = built(name).sample(1 - conditions, 20, generator=0)
    assert torch.equal(drawn, other) == (name in IGNORES_CONDITION)


@every
def test_the_condition_is_left_as_it_was(built, conditions, name):
    before = conditions.clone()
    built(name).sample(conditions, 2, generator=0)
    assert torch.equal(conditions, before)


@every
def test_an_empty_batch_gives_no_samples(built, conditions, name):
    assert built(name).sample(conditions[:0], 2, generator=0).shape == (2, 0, 1, 8, 8)


@every
def test_other_shapes_and_wrong_streams_are_refused(built, conditions, name):
    with pytest.raises(CoEmbedError, match=r"got shape \(6, 1, 8, 8\), expected"):
        built(name).sample(conditions[:, :1], 2, generator=0)
    with pytest.raises(CoEmbedError, match="generator has 2 streams"):
        built(name).sample(conditions, 2, generator=Streams(0, range(2)))
