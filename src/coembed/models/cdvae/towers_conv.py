r"""The convolutional tower: codes that are maps of several scales, of one image or of one image given another.

The field's tower may see the condition (``LadderConfig.sees``): prior, posterior and decoder then read its
maps at every scale, so :math:`p(z_i \mid z_{>i}, x_c)` is local, and a detail of the photo moves the detail of
the field at that place. What is one thing for the whole image is the top code's, which the tie gives a density.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coembed.errors import ConfigError
from coembed.models.cdvae.config import LadderConfig
from coembed.models.cdvae.towers import LOG_VAR_BOUNDS
from coembed.models.nn import ResidualBlock
from coembed.numerics.distributions import Gaussian, bounded_log_var

Shape = tuple[int, int, int]
# Of the top code: a mixture as its prior leaves its scale open, and then both grow without end.
_FARTHEST, _TOP_LOG_VAR_BOUNDS = 3.0, (-8.0, 0.5)
_SURE = -3.5  # raw value of a log variance of about -1.6 within these bounds


class Path(list[Tensor]):
    """Codes, coarse to fine, and the hidden map that a tower has after the first ``done`` of them.

    A draw tells every code from those above; so the way down is gone once, not once a code. Only for codes of
    one draw, and one condition: codes may be appended, not replaced.
    """

    state: Tensor | None = None
    done: int = 0

    def go(self, state: Tensor) -> None:
        """Note the hidden map after one more code."""
        self.state, self.done = state, self.done + 1


class ConvolutionalTower(nn.Module):
    """Spatial codes at several scales, residual blocks; a decoder that reads every code.

    Args:
        config: of the ladder.
        shape: (channels, height, width) of the data.
        sight: the same of the condition, if the tower sees it; of any size.
        kinds: fields of the data's shape that it is shown, besides the mean.
    """

    def __init__(self, config: LadderConfig, shape: Shape, sight: Shape | None = None, kinds: int = 0):
        super().__init__()
        self.config, self.shape = config, shape
        channels, height, width = shape
        for m in config.maps:
            if height % m or width % m:
                raise ConfigError(f"maps: divisor {m} does not divide the field's size {height} x {width}")
        self.code_shapes: list[tuple[int, ...]] = [
            (c, height // m, width // m) for c, m in zip(config.codes, config.maps, strict=True)
        ]
        codes, hidden, norm = config.codes, config.hidden, config.norm
        self.look = None if sight is None else _Encoder(config, sight, shape, joins=False)
        # Maps of the data's own size come in where the condition's do.
        inputs = channels * (1 + kinds) * config.maps[-1] ** 2
        self.show = None if sight is None else nn.Conv2d(inputs, hidden[-1], 3, padding=1)
        self.read = _Encoder(config, shape, shape, joins=sight is not None)
        if sight is None:
            self.begin = nn.Parameter(torch.zeros(1, hidden[0], *self.code_shapes[0][1:]))
        else:
            self.join = nn.ModuleList(ResidualBlock(2 * n, n, norm) for n in hidden[1:])
        # The top code's prior is N(0, I); what the condition says of it is the tie's.
        self.prior_head = nn.ModuleList(_head(n, c) for n, c in zip(hidden[1:], codes[1:], strict=True))
        self.posterior_head = nn.ModuleList(_head(2 * n, c) for n, c in zip(hidden, codes, strict=True))
        with torch.no_grad():
            # The top code says something from the start, so that the tie learns from the start.
            self.posterior_head[0].bias[codes[0] :].fill_(_SURE)  # type: ignore[index, union-attr]
        self.put = nn.ModuleList(nn.Conv2d(c, n, 1) for n, c in zip(hidden, codes, strict=True))
        self.mix = nn.ModuleList(ResidualBlock(n, n, norm) for n in hidden)
        self.grow = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in itertools.pairwise(hidden))
        self.kinds = kinds
        self.choose = nn.Conv2d(hidden[-1], kinds, 1) if kinds else None
        outputs = channels * (2 if config.likelihood == "pixel" else 1)
        self.out = nn.Conv2d(hidden[-1], outputs * config.maps[-1] ** 2, 3, padding=1)
        with torch.no_grad():  # near the mean of all data to begin with, and not the same at every code
            self.out.weight.mul_(0.1)
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def seen(self, condition: Tensor, mean: Tensor, kinds: Tensor | None = None) -> list[Tensor] | None:
        """What is seen of standardised conditions: maps, one per code, coarse to fine, and the kinds.

        Args:
            condition: (batch, c, h, w).
            mean: their mean fields (batch, c', h', w').
            kinds: the fields of every kind, (batch, kinds * c', h', w'); they end the list.

        Returns:
            None without sight.
        """
        if self.look is None or self.show is None:
            return None
        shown = mean if kinds is None else torch.cat([mean, kinds], 1)
        shown = F.pixel_unshuffle(shown, self.config.maps[-1]).contiguous(memory_format=torch.channels_last)
        maps = self.look(condition, first=self.show(shown))
        return maps if kinds is None else [*maps, kinds]

    def messages(self, x: Tensor, seen: list[Tensor] | None = None) -> list[Tensor]:
        """The upward pass: hidden maps of x, coarse to fine; what they say is told beside the codes above."""
        return self.read(x, seen)

    def begin_at(self, layer: int, above: Tensor | None, seen: list[Tensor] | None) -> Tensor:
        """The hidden map that a code is told from and put into, given that of the code above."""
        if above is None:
            return self.begin if seen is None else seen[0]
        h = F.interpolate(self.grow[layer - 1](above), self.code_shapes[layer][1:])
        return h if seen is None else self.join[layer - 1](torch.cat([h, seen[layer]], 1))

    def go_on(self, layer: int, h: Tensor, code: Tensor) -> Tensor:
        """The hidden map with its code put in."""
        return self.mix[layer](h + self.put[layer](code))

    def posterior(self, layer: int, h: Tensor, message: Tensor) -> Gaussian:
        """q(z_layer | x, codes above) from the hidden map before it and what the upward pass says there."""
        values = self.posterior_head[layer](torch.cat([h.expand_as(message), message], 1))
        if layer:
            return _gaussian(values)
        mean, raw = values.float().chunk(2, 1)
        return Gaussian(_FARTHEST * torch.tanh(mean / _FARTHEST), bounded_log_var(raw, *_TOP_LOG_VAR_BOUNDS))

    def prior_at(self, layer: int, h: Tensor) -> Gaussian:
        """p(z_layer | codes above), for layer >= 1, from the hidden map before it."""
        return _gaussian(self.prior_head[layer - 1](h))

    def prior(
        self,
        layer: int,
        above: list[Tensor],
        *,
        inference: bool = False,
        seen: list[Tensor] | None = None,
    ) -> Gaussian:
        """p(z_i | all codes above), by the same top-down path as the decoder's."""
        del inference  # always shared: the decoder's own path
        above = above if len(above) == layer else above[:layer]
        return self.prior_at(layer, self.begin_at(layer, self._state(above, seen), seen))

    def decode(self, codes: list[Tensor], seen: list[Tensor] | None = None) -> tuple[Tensor, Tensor | None]:
        """Pixels from every code."""
        h = F.silu(self._state(codes, seen))  # type: ignore[arg-type]
        out = F.pixel_shuffle(self.out(h).float(), self.config.maps[-1])
        if self.choose is not None and seen is not None:
            share = torch.softmax(self.choose(h).float(), 1)
            share = F.interpolate(share, scale_factor=self.config.maps[-1])
            kinds = seen[-1].view(len(h), self.kinds, *self.shape)
            chosen = (share[:, :, None] * kinds).sum(1)
            out = torch.cat([out[:, : self.shape[0]] + chosen, out[:, self.shape[0] :]], 1)
        if self.config.likelihood == "pixel":
            mean, raw = out.chunk(2, 1)
            return mean, raw
        return out, None

    def _state(self, codes: list[Tensor], seen: list[Tensor] | None) -> Tensor | None:
        """The hidden map after the last code; a ``Path`` is gone on from where it stands."""
        path = codes if isinstance(codes, Path) else Path(codes)
        for layer in range(path.done, len(path)):
            path.go(self.go_on(layer, self.begin_at(layer, path.state, seen), path[layer]))
        return path.state


class _Encoder(nn.Module):
    """An image to hidden maps at the codes' scales; ``joins`` maps of another one at every scale."""

    def __init__(self, config: LadderConfig, image: Shape, shape: Shape, *, joins: bool):
        super().__init__()
        hidden, maps, layers = config.hidden, config.maps, len(config.maps)
        height, width = shape[1] // maps[-1], shape[2] // maps[-1]
        # A larger image keeps its detail: so many of its pixels become one place of the finest map.
        self.patch = max(1, min(image[1] // height, image[2] // width))
        self.size = (height * self.patch, width * self.patch)
        self.stem = nn.Conv2d(image[0] * self.patch**2, hidden[-1], 3, padding=1)
        self.place = nn.Parameter(torch.zeros(1, hidden[-1], height, width))
        self.blocks = nn.ModuleList(ResidualBlock(n, n, config.norm) for n in hidden)
        steps = [maps[i] // maps[i + 1] for i in range(layers - 1)]
        self.shrink = nn.ModuleList(
            nn.Conv2d(hidden[i + 1], hidden[i], steps[i], steps[i]) for i in range(layers - 1)
        )
        self.other = nn.ModuleList(nn.Conv2d(n, n, 1) for n in hidden) if joins else None

    def forward(
        self, x: Tensor, seen: list[Tensor] | None = None, *, first: Tensor | None = None
    ) -> list[Tensor]:
        """(batch, c, h, w) to maps, coarse to fine; ``first`` is added to the finest at the start."""
        if x.shape[2:] != self.size:
            x = F.interpolate(x, self.size, mode="bilinear", antialias=True)
        x = F.pixel_unshuffle(x, self.patch).contiguous(memory_format=torch.channels_last)
        h, found = self.stem(x) + self.place, []
        h = h if first is None else h + first
        for i in reversed(range(len(self.blocks))):
            if self.other is not None and seen is not None:
                h = h + self.other[i](seen[i])
            h = self.blocks[i](h)
            found.append(h)
            if i:
                h = self.shrink[i - 1](h)
        return found[::-1]


def _head(inputs: int, codes: int) -> nn.Conv2d:
    """1 x 1 convolution to mean and raw log variance; starts at the standard normal."""
    head = nn.Conv2d(inputs, 2 * codes, 1)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)  # type: ignore[arg-type]
    return head


def _gaussian(values: Tensor) -> Gaussian:
    mean, raw = values.float().chunk(2, 1)
    return Gaussian(mean, bounded_log_var(raw, *LOG_VAR_BOUNDS))
