"""Conditions read once: chosen by index they are what the model makes of the chosen ones."""

import pytest
import torch
from toy_models import conditions, linear, paper

from coembed.errors import ModelError
from coembed.models.cdvae.encoded import CHUNK_VALUES
from coembed.numerics.random import Streams


@pytest.mark.parametrize("build", [linear, paper])
def test_indexed_parts_are_those_of_the_indexed_conditions(build):
    model, condition = build(), conditions(3)
    index = torch.tensor([2, 0, 2])
    found, wanted = model.encode(condition)[index], model.encode(condition[index])
    torch.testing.assert_close(found.condition, wanted.condition)
    assert (found.latents is None) == (wanted.latents is None) == model.samples_latents
    if found.latents is not None:
        torch.testing.assert_close(found.vector(), wanted.vector())


def test_latents_that_are_sampled_come_from_the_noise_and_are_asked_for_in_vain_before():
    model, enc = paper(), paper().encode(conditions(2))
    with pytest.raises(RuntimeError, match="not sampled yet"):
        enc.vector()
    noise = model.split_noise(model.noise(Streams(0, range(2)), 1))
    rows = model.with_latents(enc, noise.condition)
    assert rows.vector().shape == (2, 7) and model.with_latents(rows, noise.condition) is rows


def test_the_parts_of_a_model_are_the_sample():
    model, condition = paper(), conditions(2)
    enc, temperatures = model.encode(condition), model.temperatures(0.8)
    noise = model.split_noise(model.noise(Streams(3, range(2)), 4))
    rows = model.with_latents(enc[enc.index(4)], noise.condition)
    latents = model.sample_latents(rows, noise.tie, temperatures)
    fields = model.to_natural(model.field_ladder.decode_latents(latents).mean)
    sample = model.sample(condition, 4, generator=3, temperature=0.8)
    torch.testing.assert_close(fields.view_as(sample), sample)


def test_chunks_sum_to_the_number_and_keep_to_the_limit():
    enc = linear().encode(conditions(2))
    n = 3 * CHUNK_VALUES // 32 + 1
    assert sum(enc.chunks(n)) == n and max(enc.chunks(n)) * 32 <= CHUNK_VALUES
    with pytest.raises(ModelError, match="n: got 0"):
        next(enc.chunks(0))
