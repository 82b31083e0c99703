r"""The convolutional tower: codes that are maps of several scales, of one image or of one image given another.

The field's tower may see the condition (``LadderConfig.conditional``): prior, posterior and decoder then read
its maps at every scale, so :math:`p(z_i \mid z_{>i}, x_c)` is local, and a detail of the photo moves that of
the field at that place. What is one thing for the whole image is the top code's, which the tie gives a density.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coembed.errors import ConfigError
from coembed.models.cdvae.config import LadderConfig
from coembed.models.cdvae.inference import TopDownState
from coembed.models.cdvae.towers import LOG_VAR_BOUNDS, Tower
from coembed.models.nn import ResidualBlock, zero_init
from coembed.numerics.distributions import Gaussian, bounded_log_var

Shape = tuple[int, int, int]
# Of the top latent: a mixture as its prior leaves its scale open, and then both grow without end.
MAX_TOP_MEAN, TOP_LOG_VAR_BOUNDS = 3.0, (-8.0, 0.5)
INITIAL_RAW_LOG_VAR = -3.5  # a log variance of about -1.6 within these bounds


class ConvolutionalTower(Tower[Tensor]):
    """Spatial latents at several scales, residual blocks; a decoder that reads every latent.

    The hidden map of its way down is read by all: a latent is told from it and put into it.

    Args:
        config: of the ladder.
        shape: (channels, height, width) of the data.
        context_shape: the same of the condition, if the tower reads it; of any size.
        n_proposals: fields of the data's shape that it is shown, besides the mean.
    """

    def __init__(
        self, config: LadderConfig, shape: Shape, context_shape: Shape | None = None, n_proposals: int = 0
    ):
        channels, height, width = shape
        for m in config.maps:
            if height % m or width % m:
                raise ConfigError(f"maps: divisor {m} does not divide the field's size {height} x {width}")
        scales = zip(config.codes, config.maps, strict=True)
        super().__init__(config, shape, [(c, height // m, width // m) for c, m in scales])
        codes, hidden, norm = config.codes, config.hidden, config.norm
        self.look = None if context_shape is None else _Encoder(config, context_shape, shape, joins=False)
        # Maps of the data's own size come in where the condition's do.
        inputs = channels * (1 + n_proposals) * config.maps[-1] ** 2
        self.show = None if context_shape is None else nn.Conv2d(inputs, hidden[-1], 3, padding=1)
        self.read = _Encoder(config, shape, shape, joins=context_shape is not None)
        if context_shape is None:
            self.begin = nn.Parameter(torch.zeros(1, hidden[0], *self.code_shapes[0][1:]))
        else:
            self.join = nn.ModuleList(ResidualBlock(2 * n, n, norm) for n in hidden[1:])
        # The top latent's prior is N(0, I); what the condition says of it is the tie's.
        self.prior_head = nn.ModuleList(_head(n, c) for n, c in zip(hidden[1:], codes[1:], strict=True))
        # The top latent says something from the start, so that the tie learns from the start.
        first = [INITIAL_RAW_LOG_VAR] + [0.0] * (len(codes) - 1)
        self.posterior_head = nn.ModuleList(
            _head(2 * n, c, raw) for n, c, raw in zip(hidden, codes, first, strict=True)
        )
        self.put = nn.ModuleList(nn.Conv2d(c, n, 1) for n, c in zip(hidden, codes, strict=True))
        self.mix = nn.ModuleList(ResidualBlock(n, n, norm) for n in hidden)
        self.grow = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in itertools.pairwise(hidden))
        self.n_proposals = n_proposals
        self.choose = nn.Conv2d(hidden[-1], n_proposals, 1) if n_proposals else None
        outputs = channels * (2 if config.likelihood == "pixel" else 1)
        self.out = nn.Conv2d(hidden[-1], outputs * config.maps[-1] ** 2, 3, padding=1)
        with torch.no_grad():  # near the mean of all data to begin with, and not the same at every code
            self.out.weight.mul_(0.1)
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def encode_context(self, condition: Tensor, mean: Tensor, proposals: Tensor | None) -> list[Tensor] | None:
        """Maps of standardised conditions, one per latent, coarse to fine, and the proposals, if any."""
        if self.look is None or self.show is None:
            return None
        shown = mean if proposals is None else torch.cat([mean, proposals], 1)
        shown = F.pixel_unshuffle(shown, self.config.maps[-1]).contiguous(memory_format=torch.channels_last)
        maps = self.look(condition, first=self.show(shown))
        return maps if proposals is None else [*maps, proposals]

    def messages(self, x: Tensor, context_maps: list[Tensor] | None = None) -> list[Tensor]:
        """The upward pass: hidden maps of x; what they say is told beside the latents above."""
        return self.read(x, context_maps)

    def top_down(self, rows: Tensor, context_maps: list[Tensor] | None = None) -> TopDownState:
        """The state above the top latent: a map of the condition, or one that is learned."""
        hidden = self.begin if context_maps is None else context_maps[0]
        return TopDownState(rows, context_maps, hidden=hidden)

    def step(self, state: TopDownState, latent: Tensor) -> TopDownState:
        """The latent put into the hidden map, which then grows to the size of the next latent."""
        layer, maps = state.layer, state.context_maps
        h = self.mix[layer](_hidden(state) + self.put[layer](latent))
        if layer + 1 < len(self.code_shapes):
            h = F.interpolate(self.grow[layer](h), self.code_shapes[layer + 1][1:])
            h = h if maps is None else self.join[layer](torch.cat([h, maps[layer + 1]], 1))
        return replace(state, latents=(*state.latents, latent), hidden=h)

    def infer_layer(self, state: TopDownState, message: Tensor) -> tuple[Gaussian, Gaussian]:
        """The upward pass is read beside the hidden map."""
        hidden = _hidden(state).expand_as(message)
        values = self.posterior_head[state.layer](torch.cat([hidden, message], 1))
        if state.layer:
            return _gaussian(values), self.prior(state)
        mean, raw = values.float().chunk(2, 1)
        bounded = MAX_TOP_MEAN * torch.tanh(mean / MAX_TOP_MEAN)
        return Gaussian(bounded, bounded_log_var(raw, *TOP_LOG_VAR_BOUNDS)), self.prior(state)

    def lower_prior(self, state: TopDownState) -> Gaussian:
        """p(z_layer | all latents above), from the decoder's own way down."""
        return _gaussian(self.prior_head[state.layer - 1](_hidden(state)))

    def pixels(self, state: TopDownState) -> tuple[Tensor, Tensor | None]:
        """Pixels from every latent; with proposals, plus a choice between those at every place."""
        h = F.silu(_hidden(state))
        out = F.pixel_shuffle(self.out(h).float(), self.config.maps[-1])
        if self.choose is not None and state.context_maps is not None:
            share = torch.softmax(self.choose(h).float(), 1)
            share = F.interpolate(share, scale_factor=self.config.maps[-1])
            proposals = state.context_maps[-1].view(len(h), self.n_proposals, *self.shape)
            chosen = (share[:, :, None] * proposals).sum(1)
            out = torch.cat([out[:, : self.shape[0]] + chosen, out[:, self.shape[0] :]], 1)
        if self.config.likelihood == "pixel":
            mean, raw = out.chunk(2, 1)
            return mean, raw
        return out, None


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
        self, x: Tensor, context_maps: list[Tensor] | None = None, *, first: Tensor | None = None
    ) -> list[Tensor]:
        """(batch, c, h, w) to maps, coarse to fine; ``first`` is added to the finest at the start."""
        if x.shape[2:] != self.size:
            x = F.interpolate(x, self.size, mode="bilinear", antialias=True)
        x = F.pixel_unshuffle(x, self.patch).contiguous(memory_format=torch.channels_last)
        h, found = self.stem(x) + self.place, []
        h = h if first is None else h + first
        for i in reversed(range(len(self.blocks))):
            if self.other is not None and context_maps is not None:
                h = h + self.other[i](context_maps[i])
            h = self.blocks[i](h)
            found.append(h)
            if i:
                h = self.shrink[i - 1](h)
        return found[::-1]


def _head(inputs: int, channels: int, raw_log_var: float = 0.0) -> nn.Conv2d:
    """1 x 1 convolution to mean and raw log variance; starts at a zero mean and this variance everywhere."""
    head = zero_init(nn.Conv2d(inputs, 2 * channels, 1))
    head.bias = nn.Parameter(torch.cat([torch.zeros(channels), torch.full((channels,), raw_log_var)]))
    return head


def _hidden(state: TopDownState) -> Tensor:
    if state.hidden is None:
        raise RuntimeError("this way down was begun by a tower without a hidden map")
    return state.hidden


def _gaussian(values: Tensor) -> Gaussian:
    mean, raw = values.float().chunk(2, 1)
    return Gaussian(mean, bounded_log_var(raw, *LOG_VAR_BOUNDS))
