"""P(field | condition) as an object: what it takes for a number of samples, and what it says of a field."""

import pytest
import torch
from toy_models import conditions, linear

from coembed.errors import ModelError


def test_a_number_and_a_shape_of_one_axis_are_the_same_samples():
    model, condition = linear(), conditions()
    fields = model(condition).sample(3, generator=0)
    assert fields.shape == (3, 2, 1, 4, 4)
    assert torch.equal(fields, model.sample(condition, 3, generator=0))
    assert torch.equal(fields, model(condition).sample((3,), generator=0))
    assert model(condition).sample().shape == (1, 2, 1, 4, 4)


@pytest.mark.parametrize("shape", [(), (2, 3)])
def test_a_shape_of_other_axes_is_refused(shape):
    with pytest.raises(ModelError, match=r"n: got \(.*\), expected a number of samples per condition"):
        linear()(conditions()).sample(shape, generator=0)


def test_the_log_density_is_the_models_own_bound_and_tighter_with_more_particles():
    model, condition = linear(), conditions(8)
    field = model.sample(condition, 1, generator=1)[0]
    one, many = (model(condition).log_prob_bound(field, k) for k in (1, 200))
    own = model.log_conditional(condition, field, particles=1, generator=torch.Generator().manual_seed(0))
    assert torch.equal(one, own) and torch.equal(model(condition).log_prob(field, 1), one)
    assert one.shape == (8,) and one.mean() < many.mean()
