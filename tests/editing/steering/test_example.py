import pytest
import torch
from toy_models import SHAPE, conditions, linear, paper

from coembed.editing.steering.example import code_of, sample_near
from coembed.errors import ConfigError, ModelError

EVERY = {
    "hierarchical": linear,
    "joint": lambda: linear("all"),
    "gaussian": lambda: linear(kind="gaussian"),
    "paper": paper,
    "paper-gauss": lambda: paper("paper-gauss"),
}
every_model = pytest.mark.parametrize("build", EVERY.values(), ids=list(EVERY))


def width(model):
    return code_of(model, conditions(1), torch.zeros(1, *SHAPE)).shape[1]


def codes_of(model, condition, fields):
    """(n, size): top codes of samples of one condition."""
    return torch.cat([code_of(model, condition, field) for field in fields])


@every_model
def test_closeness_0_is_plain_sampling_bit_for_bit(build):
    model, condition = build(), conditions()
    target = torch.ones(1, width(model))
    near = sample_near(model, condition, 4, target, 0.0, generator=2)
    assert torch.equal(near, model.sample(condition, 4, generator=2))


@every_model
def test_samples_come_nearer_to_the_examples_field_the_closer_they_are_asked_to_be(build):
    model, condition = build(), conditions(1)
    target = torch.ones(1, width(model))
    reached = sample_near(model, condition, 1, target, 1.0, generator=2, temperature=0.0)[0]
    distances = []
    for closeness in (1e-6, 0.2, 0.4, 0.6, 0.8, 0.95):
        near = sample_near(model, condition, 200, target, closeness, generator=2, temperature=[1.0, 0.0])
        distances.append((near - reached).square().mean().item())
    assert distances == sorted(distances, reverse=True)
    if build is not EVERY["paper-gauss"]:  # whose lower codes follow the condition's, not the top code
        assert distances[-1] < 0.5 * distances[0]


def test_at_closeness_1_the_code_of_every_sample_is_the_examples():
    model, condition = linear(), conditions(1)
    example = model.sample(conditions(2)[1:], 1, generator=7)[0]
    target = code_of(model, conditions(2)[1:], example)
    near = sample_near(model, condition, 3, target, 1.0, generator=2)
    shrunk = 1 / (1 + torch.exp(model.field_ladder.tower.message_log_var[:3]))  # the posterior's pull to 0
    torch.testing.assert_close(codes_of(model, condition, near), (target * shrunk).expand(3, -1))


def test_only_so_many_dimensions_are_pulled():
    model, condition = linear(), conditions(1)
    target = torch.tensor([[3.0, -3.0, 3.0]])
    codes = codes_of(model, condition, sample_near(model, condition, 50, target, 1.0, generator=2, dims=1))
    assert codes[:, 0].std() < 1e-4 and codes[:, 1:].std(0).min() > 0.1


@every_model
def test_sample_k_is_the_same_alone_and_among_others(build):
    model, condition = build(), conditions()
    target = torch.ones(1, width(model))
    among = sample_near(model, condition, 6, target, 0.5, generator=2)
    torch.testing.assert_close(
        sample_near(model, condition[:1], 3, target, 0.5, generator=2)[:, 0], among[:3, 0]
    )


def test_mistakes_are_named():
    model, condition = linear(), conditions(1)
    with pytest.raises(ModelError, match=r"target: got shape \(1, 2\), expected \(1 or 1, 3\)"):
        sample_near(model, condition, 1, torch.ones(1, 2), generator=0)
    with pytest.raises(ConfigError, match="closeness is 2"):
        sample_near(model, condition, 1, torch.ones(1, 3), 2, generator=0)
    with pytest.raises(ConfigError, match="dims is 0"):
        sample_near(model, condition, 1, torch.ones(1, 3), generator=0, dims=0)
    with pytest.raises(ModelError, match="Linear has no code space"):
        code_of(torch.nn.Linear(1, 1), condition, torch.zeros(1, *SHAPE))
