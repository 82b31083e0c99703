"""The trained baselines: gradients everywhere, bounds in order, two modes kept, resume to the bit."""

import math

import pytest
import torch

from coembed.cli.train import parse_train
from coembed.data.store.store import PairStore
from coembed.models.baselines.cvae import CVAE
from coembed.models.baselines.mean_regression import MeanRegression
from coembed.models.registry import class_for, preset_config
from coembed.tasks.task import Layer
from coembed.training import checkpoint
from coembed.training.run import run_train

SHAPE = (1, 8, 8)
TRAINED = ("cvae", "cvae-plus", "regression")


def pairs(count, seed=0):
    """Fields that are the condition plus or minus a half, with equal chance, and a little noise."""
    g = torch.Generator().manual_seed(seed)
    condition = torch.rand(count, *SHAPE, generator=g)
    sign = torch.randint(2, (count, 1, 1, 1), generator=g) - 0.5
    return condition, condition + sign + 0.02 * torch.randn(count, *SHAPE, generator=g)


def build(name):
    config = preset_config(name, SHAPE, SHAPE)
    torch.manual_seed(0)
    model = class_for(config)(config)
    model.initialise(*pairs(200))
    return model


@pytest.mark.parametrize("name", TRAINED)
def test_every_parameter_gets_a_gradient(name):
    model = build(name).train()
    with torch.no_grad():
        for p in model.parameters():  # networks that start at zero hide what lies before them
            p.add_(0.01 * torch.randn(p.shape, generator=torch.Generator().manual_seed(1)))
    parts = model.loss(*pairs(16, 1), generator=torch.Generator().manual_seed(0))
    assert all(part.shape == (16,) and part.isfinite().all() for part in parts.values())
    parts["total"].mean().backward()
    unused = {"regression.unet.features.weight", "regression.unet.features.bias"}
    without = {n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0}
    assert without <= unused


@pytest.fixture(scope="module")
def trained():
    """A CVAE-plus after a short training on the two modes."""
    model = build("cvae-plus").train()
    assert isinstance(model, CVAE)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    generator = torch.Generator().manual_seed(0)
    condition, field = pairs(512)
    first = last = 0.0
    for step in range(80):
        rows = torch.randint(len(condition), (32,), generator=generator)
        loss = model.loss(condition[rows], field[rows], generator=generator, warmup=min(1.0, step / 20))
        optimizer.zero_grad()
        loss["total"].mean().backward()
        optimizer.step()
        last = float(loss["distortion_field"].detach().mean())
        first = first or last
    assert last < first - 30
    return model.eval()


def test_cvae_plus_keeps_both_modes(trained):
    condition, _ = pairs(8, 2)
    drawn = trained.sample(condition, 40, generator=0)
    offset = (drawn - condition).mean((2, 3, 4))
    up = (offset > 0).float().mean(0)
    assert offset.abs().mean() == pytest.approx(0.5, abs=0.15)
    assert up.min() > 0 and up.max() < 1  # no photo has lost one of them


def test_more_particles_tighten_the_bound_below_the_truths_density(trained):
    condition, field = pairs(64, 3)
    bounds = [
        trained.log_conditional(
            condition, field, particles=k, generator=torch.Generator().manual_seed(0)
        ).mean()
        for k in (1, 30)
    ]
    # The truth: half a chance a mode, 64 normals of deviation 0.02.
    best = math.log(0.5) - 64 * (0.5 + math.log(0.02 * math.sqrt(2 * math.pi)))
    assert bounds[0] < bounds[1] < best


def test_the_mean_regression_averages_the_modes_and_knows_its_error():
    model = build("regression")
    assert isinstance(model, MeanRegression)
    condition, field = pairs(2000)
    model.initialise(condition, field)
    drawn = model.eval().sample(condition, 3, generator=0)
    assert torch.equal(drawn[0], drawn[1])
    assert (drawn[0] - condition).abs().mean() < 0.1  # between the modes, which lie a half away
    # The density as fitted in closed form: near that of the residual's own Gaussian.
    deviation = float((field - drawn[0]).std())
    entropy = 64 * (0.5 + math.log(deviation * math.sqrt(2 * math.pi)))
    assert -float(model.log_prob(condition, field).mean()) == pytest.approx(entropy, rel=0.05)


@pytest.mark.parametrize("name", TRAINED)
def test_it_resumes_bit_for_bit(tmp_path, monkeypatch, name):
    condition, field = pairs(64)
    layers = Layer("a", 1, 0.0, 1.0, ""), Layer("b", 1, -1.0, 2.0, "")
    store = PairStore.from_arrays(condition, field, condition_layer=layers[0], field_layer=layers[1])
    store.save(tmp_path / "pairs")
    options = ["--pairs", str(tmp_path / "pairs"), "--preset", name, "--images", "96", "--batch-size", "16"]
    options += ["--threads", "1"]
    run_train(parse_train([*options, "--out", str(tmp_path / "whole")]))
    original = checkpoint.save

    def save_and_stop(run, state, *rest):
        path = original(run, state, *rest)
        if state.step == 3:
            raise KeyboardInterrupt
        return path

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", save_and_stop)
        with pytest.raises(KeyboardInterrupt):
            run_train(parse_train([*options, "--out", str(tmp_path / "out"), "--checkpoint-minutes", "1e-9"]))
    run_train(parse_train(["--out", str(tmp_path / "out"), "--resume"]))
    for file in ("model.safetensors", "ema.safetensors", "optimizer.safetensors"):
        whole, resumed = (checkpoint.latest(tmp_path / run) for run in ("whole", "out"))
        assert (resumed / file).read_bytes() == (whole / file).read_bytes()
