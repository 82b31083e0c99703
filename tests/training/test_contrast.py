"""The contrastive form of guidance: neighbourhoods instead of places."""

import math

import pytest
import torch

from coembed.data.similarity.embedding import Targets
from coembed.models.cdvae.model import CDVAE
from coembed.models.registry import class_for, preset_config
from coembed.training.config import GuidanceConfig
from coembed.training.guidance import Guide, contrast


def points(count=24, size=4, seed=0):
    return torch.randn(count, size, generator=torch.Generator().manual_seed(seed))


def test_it_is_the_divergence_of_the_two_distributions_over_neighbours():
    codes, targets = points(6, 3), points(6, 3, seed=1)
    found = contrast(codes, targets, 0.5)
    for i in range(6):
        others = [j for j in range(6) if j != i]
        p = [math.exp(-float((targets[i] - targets[j]).square().mean()) / 0.5) for j in others]
        q = [math.exp(-float((codes[i] - codes[j]).square().mean()) / 0.5) for j in others]
        p, q = [x / sum(p) for x in p], [x / sum(q) for x in q]
        expected = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
        assert float(found[i]) == pytest.approx(expected, rel=1e-4)


def test_turned_and_moved_codes_agree_with_their_targets():
    targets = points()
    turn = torch.linalg.qr(points(4, 4, seed=2))[0]
    assert float(contrast(targets @ turn + 3, targets, 0.1).abs().max()) < 1e-4
    assert float(contrast(points(seed=3), targets, 0.1).mean()) > 0.5


def test_codes_that_say_nothing_cost_what_the_targets_know():
    targets = points()
    codes = torch.zeros(24, 4, requires_grad=True)
    found = contrast(codes, targets, 0.1)
    assert bool((found > 0).all()) and float(found.detach().max()) <= math.log(23) + 1e-5
    found.sum().backward()
    assert codes.grad is not None and bool(codes.grad.isfinite().all())


def test_descent_finds_the_neighbours_again():
    targets = points(64, 4)
    codes = (0.01 * points(64, 4, seed=5)).requires_grad_()
    optimizer = torch.optim.Adam([codes], lr=0.1)
    for _ in range(80):
        optimizer.zero_grad()
        loss = contrast(codes, targets, 0.2).mean()
        loss.backward()
        optimizer.step()
    nearest = lambda x: (torch.cdist(x, x) + 1e9 * torch.eye(64)).argmin(1)  # noqa: E731
    assert float((nearest(codes.detach()) == nearest(targets)).float().mean()) > 0.8


def test_a_batch_of_one_has_no_neighbours():
    assert contrast(points(1), points(1, seed=1), 0.1).tolist() == [0.0]


def test_far_apart_codes_give_finite_numbers():
    codes = (1e4 * points()).requires_grad_()
    found = contrast(codes, points(seed=1), 0.1)
    found.sum().backward()
    assert bool(found.isfinite().all()) and codes.grad is not None and bool(codes.grad.isfinite().all())


def test_the_guide_takes_the_form_its_options_name():
    table = points(8, 5).numpy()[None]
    config = GuidanceConfig(weight=10.0, form="contrastive", temperature=0.3, sides="condition")
    guide = Guide(config, Targets(table, table, table[0, 0]))
    rows = torch.tensor([3, 0, 7, 5])
    means = [points(4, 3, seed=1), points(4, 9, seed=2)]
    expected = 10 * contrast(torch.cat([means[0], means[1][:, :2]], 1), torch.from_numpy(table[0])[rows], 0.3)
    torch.testing.assert_close(guide.at(0.0, rows, None)((means, means)), expected)


@pytest.mark.parametrize("name", ["default", "paper-gauss", "paper-mdn4"])
@pytest.mark.parametrize("form", ["targets", "contrastive"])
def test_every_presets_encoders_feel_guidance(name, form):
    shape = (1, 16, 16)
    torch.manual_seed(0)
    config = preset_config(name, shape, shape)
    model = class_for(config)(config)
    g = torch.Generator().manual_seed(0)
    condition, field = torch.rand(8, *shape, generator=g), torch.rand(8, *shape, generator=g)
    model.initialise(condition, field)
    with torch.no_grad():  # networks that start at zero hide what lies before them
        for p in model.parameters():
            p.add_(0.01 * torch.randn(p.shape, generator=g))
    table = torch.randn(1, 8, 6, generator=g).numpy()
    config = GuidanceConfig(weight=1.0, form=form, temperature=1.0)
    guide = Guide(config, Targets(table, table, table[0, 0]), model.latent_scales())
    _, codes = model.loss_and_latents(condition, field, generator=g)
    term = guide.at(0.0, torch.arange(8), None)(codes)
    assert term.shape == (8,) and bool(term.isfinite().all())
    term.sum().backward()
    networks = (model.condition_ladder, model.field_ladder) if isinstance(model, CDVAE) else (model.network,)
    for network in networks:
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        assert sum(float(grad.abs().sum()) for grad in gradients) > 0
