"""Densities and posteriors against the same Gaussians written out, mode by mode."""

import itertools
import math

import pytest
import torch
from torch.distributions import MultivariateNormal
from toy_models import SHAPE, conditions, shaped

from coembed.models.shaped.density import code_posterior


def components(model, drawing, row):
    """Log weight, mean and covariance of the field under every component and choice of modes, float64."""
    wavelets, (k, r, j) = model.wavelets, drawing.code_mean.shape[1:]
    matrix = wavelets(torch.eye(16).view(16, *SHAPE)).double().T  # coefficients of unit fields
    factors = drawing.factors[row].flatten(1).double().T
    weights = torch.log_softmax(drawing.logits[row].double(), -1)
    of_modes = torch.log_softmax(drawing.mode_logits[row].double(), -1)
    for component in range(k):
        scale = (drawing.log_noise[row] + wavelets.expand(drawing.gain[row, component])).exp().double()
        noise = matrix.T @ torch.diag(scale.square()) @ matrix
        for choice in itertools.product(range(j), repeat=r):
            pick = range(r), choice
            mean = drawing.code_mean[row, component][pick].double()
            std = drawing.code_log_std[row, component][pick].double().exp()
            log_weight = weights[component] + of_modes[component][pick].sum()
            centre = drawing.mean[row].flatten().double() + factors @ mean
            yield log_weight, centre, factors @ torch.diag(std.square()) @ factors.T + noise


def exact(model, drawing, fields):
    rows = []
    for row, field in enumerate(fields):
        parts = components(model, drawing, row)
        rows.append(
            torch.logsumexp(
                torch.stack(
                    [w + MultivariateNormal(m, c).log_prob(field.flatten().double()) for w, m, c in parts]
                ),
                0,
            )
        )
    return torch.stack(rows)


def drawn(model, condition):
    return model.standardise_field(model.sample(condition, 1, generator=3)[0])


def test_with_one_mode_the_density_is_exact_and_in_natural_units():
    model, condition = shaped(), conditions(6)
    drawing, field = model.encode(condition), drawn(model, condition)
    wanted = exact(model, drawing, field)
    found = code_posterior(drawing, model.wavelets, field).log_prob()
    torch.testing.assert_close(found.double(), wanted, rtol=0, atol=1e-3)
    natural = model.to_natural(field)
    for particles in (1, 20):
        g = torch.Generator().manual_seed(0)
        bound = model.log_conditional(condition, natural, particles=particles, generator=g)
        torch.testing.assert_close(bound.double(), wanted - 16 * math.log(0.5), rtol=0, atol=1e-3)


def test_with_more_modes_it_is_a_bound_that_particles_tighten():
    model, condition = shaped(modes=3), conditions(12)
    drawing, field = model.encode(condition), drawn(model, condition)
    wanted = exact(model, drawing, field) - 16 * math.log(0.5)
    g, natural = torch.Generator().manual_seed(0), model.to_natural(field)
    one, many = (model.log_conditional(condition, natural, particles=k, generator=g).double() for k in (1, 300))
    assert (one <= wanted + 1e-3).all() and (wanted - one).mean() < 1
    assert (wanted - many).abs().mean() < 0.1


@pytest.mark.parametrize("modes", [1, 3])
def test_gradients_are_those_of_the_value_although_the_best_code_has_none(modes):
    """At the best code, and the best weights of the modes, the bound does not depend on them to first order."""
    model, condition = shaped(modes=modes), conditions(3)
    field = drawn(model, condition)
    parameter = model.network.start_factors

    def value():
        return code_posterior(model.encode(condition), model.wavelets, field).log_prob().sum()

    (gradient,) = torch.autograd.grad(value(), parameter)
    direction, step = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)), 1e-3
    ends = []
    with torch.no_grad():
        for sign in (1, -1):
            parameter.add_(sign * step * direction)
            ends.append(value().item())
            parameter.sub_(sign * step * direction)
    slope = (ends[0] - ends[1]) / (2 * step)
    # Three rounds of coordinate ascent come near the best weights, not to them.
    assert (gradient * direction).sum().item() == pytest.approx(
        slope, rel=0.02 if modes == 1 else 0.1, abs=0.05
    )


def test_the_expected_code_is_the_weighted_one():
    model, condition = shaped(), conditions(1)
    drawing, field = model.encode(condition), drawn(model, condition)
    found = code_posterior(drawing, model.wavelets, field)
    parts = list(components(model, drawing, 0))
    factors = drawing.factors[0].flatten(1).double().T
    log_weights, codes = [], []
    for component, (weight, mean, covariance) in enumerate(parts):
        prior = drawing.code_mean[0, component, :, 0].double()
        std = drawing.code_log_std[0, component, :, 0].double().exp()
        gain = torch.diag(std.square()) @ factors.T @ torch.linalg.inv(covariance)
        codes.append(prior + gain @ (field[0].flatten().double() - mean))
        log_weights.append(weight + MultivariateNormal(mean, covariance).log_prob(field[0].flatten().double()))
    wanted = torch.softmax(torch.stack(log_weights), 0) @ torch.stack(codes)
    torch.testing.assert_close(found.expected_code()[0].double(), wanted, rtol=1e-3, atol=1e-3)
    draws = found.mean[0, 0] + (found.scale[0, 0] @ torch.randn(3, 4000, dtype=torch.float64)).T
    weight, mean, covariance = parts[0]
    std = drawing.code_log_std[0, 0, :, 0].double().exp()
    prior = torch.diag(std.square())
    left = prior - prior @ factors.T @ torch.linalg.inv(covariance) @ factors @ prior
    torch.testing.assert_close(torch.cov(draws.T), left, rtol=0.15, atol=0.02)
