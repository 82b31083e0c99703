"""Flow matching learns a conditional, and its training stops and goes on; sizes are tiny."""

import copy

import pytest
import torch
from peers.flow import EVALUATIONS, Flow
from peers.train import CHECKPOINT, RECORD, load_peer, train_peer

from coembed.data.pairs import TensorPairs
from coembed.errors import ConfigError
from coembed.numerics.random import Streams

UP = torch.linspace(-1, 1, 8).view(8, 1).expand(8, 8)


def toy(count: int, seed: int = 0):
    """Bright conditions have a bright field, which points up with probability 0.8; dark ones with 0.2."""
    g = torch.Generator().manual_seed(seed)
    bright = torch.rand(count, generator=g) < 0.5
    up = torch.rand(count, generator=g) < torch.where(bright, 0.8, 0.2)
    condition = torch.where(bright, 0.8, 0.2).view(-1, 1, 1, 1).expand(-1, 1, 8, 8)
    field = 5 * condition + torch.where(up, 1.0, -1.0).view(-1, 1, 1, 1) * UP
    return condition + 0.01 * torch.randn(count, 1, 8, 8, generator=g), field


@pytest.fixture(scope="module")
def learned():
    condition, field = toy(512)
    torch.manual_seed(0)
    flow = Flow((1, 8, 8), (1, 8, 8), width=8)
    flow.initialise(condition, field)
    condition, field = flow.standard(condition, "condition"), flow.standard(field, "field")
    optimizer = torch.optim.Adam(flow.parameters(), lr=5e-3)
    g = torch.Generator().manual_seed(0)
    for step in range(120):
        rows = torch.randint(0, 512, (64,), generator=g)
        optimizer.zero_grad()
        flow.loss(condition[rows], field[rows], generator=g, fraction=step / 120).mean().backward()
        optimizer.step()
    return flow.eval()


def test_its_samples_have_the_conditional_right(learned):
    condition = torch.tensor([0.2, 0.8]).view(2, 1, 1, 1).expand(2, 1, 8, 8)
    drawn = learned.sample(condition, 200, generator=0)
    assert drawn.shape == (200, 2, 1, 8, 8)
    along = (drawn * UP).flatten(2).mean(2) / UP.square().mean()  # 1 for up, -1 for down
    level = drawn.flatten(2).mean(2)
    torch.testing.assert_close(level.mean(0), torch.tensor([1.0, 4.0]), atol=0.35, rtol=0)
    assert (along.abs() > 0.5).float().mean() > 0.8, "a sample is one of the two, not their mean"
    torch.testing.assert_close((along > 0).float().mean(0), torch.tensor([0.2, 0.8]), atol=0.17, rtol=0)


@pytest.mark.parametrize("solver", EVALUATIONS)
def test_more_evaluations_come_closer_to_the_exact_solution(learned, solver):
    flow = copy.copy(learned)
    condition = torch.tensor([0.2, 0.8]).view(2, 1, 1, 1).expand(2, 1, 8, 8)
    flow.solver, flow.evaluations = "midpoint", 64
    exact = flow.sample(condition, 2, generator=0)
    flow.solver = solver
    errors = []
    for flow.evaluations in (4, 16):
        errors.append(float((flow.sample(condition, 2, generator=0) - exact).square().mean()))
    assert errors[1] < 0.4 * errors[0]


def test_a_sample_depends_on_seed_and_photo_and_number_alone(learned):
    condition = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    whole = learned.sample(condition, 5, generator=Streams(3, [4, 5, 6]))
    alone = learned.sample(condition[1:2], 2, generator=Streams(3, [5]))
    torch.testing.assert_close(alone[:, 0], whole[:2, 1], atol=1e-4, rtol=0)
    streams = Streams(3, [4, 5, 6])
    parts = [learned.sample(condition, n, generator=streams) for n in (2, 3)]
    torch.testing.assert_close(torch.cat(parts), whole, atol=1e-4, rtol=0)
    assert learned.sample(condition[:0], 2, generator=0).shape == (2, 0, 1, 8, 8)


def test_a_stopped_training_goes_on_and_a_finished_one_is_read_back(tmp_path, monkeypatch):
    pairs = TensorPairs(*toy(64))

    def make():
        torch.manual_seed(0)
        return Flow((1, 8, 8), (1, 8, 8), width=8)

    class Asked:
        asked = True

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    with monkeypatch.context() as patch:
        patch.setattr("peers.train.Interrupt", Asked)
        with pytest.raises(KeyboardInterrupt):
            train_peer(make(), pairs, tmp_path, seconds=0.3, key="flow", say=lambda _: None)
    assert (tmp_path / CHECKPOINT).exists() and not (tmp_path / RECORD).exists()
    with pytest.raises(ConfigError, match=r"0\.3"):
        train_peer(make(), pairs, tmp_path, seconds=0.4, key="flow", say=lambda _: None)
    lines: list[str] = []
    trained = make()
    train_peer(trained, pairs, tmp_path, seconds=0.3, key="flow", say=lines.append)
    assert "goes on" in lines[0]
    found = make()
    record = load_peer(found, tmp_path)
    assert (
        record["course"]["seconds"] >= 0.3
        and record["course"]["images"] == Flow.batch_size * record["course"]["step"]
    )
    condition = pairs.condition(slice(0, 2))
    assert torch.equal(found.sample(condition, 2, generator=0), trained.sample(condition, 2, generator=0))
