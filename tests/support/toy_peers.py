"""A toy that the one-pass peers learn: a field that is up or down, on a level that the condition says."""

import torch
from peers.peer import Peer, Shape
from torch import Tensor

from coembed.numerics.random import Streams

UP = torch.linspace(-1, 1, 8).view(8, 1).expand(8, 8)
DARK, BRIGHT = 0.2, 0.8


def toy(count: int, channels: int = 1) -> tuple[Tensor, Tensor]:
    """Bright conditions have bright fields; every field points up or down, as a coin says."""
    g = torch.Generator().manual_seed(0)
    level = torch.where(torch.rand(count, generator=g) < 0.5, BRIGHT, DARK).view(-1, 1, 1, 1)
    sign = torch.where(torch.rand(count, generator=g) < 0.5, 1.0, -1.0).view(-1, 1, 1, 1)
    condition = level + 0.01 * torch.randn(count, 1, 8, 8, generator=g)
    return condition, (2 * level + sign * UP).expand(-1, channels, -1, -1).contiguous()


def train(peer: Peer, condition: Tensor, field: Tensor, *, steps: int, rate: float) -> list[float]:
    """The losses of Adam's steps on batches of 32; the peer is ready to sample afterwards."""
    peer.initialise(condition, field)
    condition, field = peer.standard(condition, "condition"), peer.standard(field, "field")
    optimizer = torch.optim.Adam(peer.parameters(), lr=rate)
    g, losses = torch.Generator().manual_seed(0), []
    for step in range(steps):
        rows = torch.randint(0, len(condition), (32,), generator=g)
        loss = peer.loss(condition[rows], field[rows], generator=g, fraction=step / steps).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    peer.eval()
    return losses


def conditions(*levels: float) -> Tensor:
    """Constant conditions, (len(levels), 1, 8, 8)."""
    return torch.tensor(levels).view(-1, 1, 1, 1).expand(-1, 1, 8, 8)


def check_streams(peer: Peer) -> None:
    """A sample depends on its seed, photo and number, not on what is drawn beside it."""
    condition = torch.rand(3, *peer.condition_shape, generator=torch.Generator().manual_seed(1))
    whole = peer.sample(condition, 5, generator=Streams(3, [4, 5, 6]))
    assert torch.equal(peer.sample(condition, 5, generator=Streams(3, [4, 5, 6])), whole)
    alone = peer.sample(condition[1:2], 2, generator=Streams(3, [5]))
    torch.testing.assert_close(alone[:, 0], whole[:2, 1], atol=1e-4, rtol=0)
    assert (peer.sample(condition, 5, generator=4) - whole).abs().max() > 0.01
    assert peer.sample(condition[:0], 2, generator=0).shape == (2, 0, *peer.field_shape)


def check_noise(peer: Peer, calls: int) -> None:
    """Each noise that ``draw`` asks for, changed alone, changes what a fresh peer makes."""
    g = torch.Generator().manual_seed(0)
    condition = torch.randn(1, *peer.condition_shape, generator=g)
    shapes: list[Shape] = []

    def zeros(shape: Shape) -> Tensor:
        shapes.append(shape)
        return torch.zeros(1, *shape)

    with torch.no_grad():
        still = peer.draw(condition, 1, zeros)
        assert len(shapes) == calls
        for changed, shape in enumerate(shapes):
            values = [torch.zeros(1, *other) for other in shapes]
            values[changed] = torch.randn(1, *shape, generator=g)
            left = iter(values)
            moved = peer.draw(condition, 1, lambda _, left=left: next(left))
            assert (moved - still).abs().max() > 1e-3, f"noise {changed} is ignored"
