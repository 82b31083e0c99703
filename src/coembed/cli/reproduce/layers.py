"""Content of each layer of field codes, in numbers: nats, share of the samples' variance, size of structure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from coembed.cli.reproduce.options import METHODS
from coembed.cli.reproduce.plots import as_png, new_figure
from coembed.evaluation.spectrum import power
from coembed.models.cdvae.model import CDVAE
from coembed.numerics.random import Streams

if TYPE_CHECKING:
    from coembed.cli.reproduce.models import Corpus
    from coembed.cli.reproduce.work import Found

_PHOTOS, _DRAWS = 64, 12
_COLORS = ("#1b3a5c", "#4f8fc0", "#e08a3c", "#a8443a", "#7a4a7a")  # coarse to fine
_CHOICE = "#d0d0d0"


@dataclass(frozen=True)
class LayerFacts:
    """One model's layers, coarse to fine.

    Attributes:
        nats: KL of the layer's codes from the prior of the field's own ladder, a photo; 0 if it holds nothing.
        variance: of draws in which that layer alone is random, over that of draws in which all are.
        choice: the same of draws in which no layer is, so that a mixture's choice of a component is left,
            and a condition's code that is drawn.
        wavelength: of those draws' deviations from their mean, in pixels: geometric mean weighted by power;
            None where the layer moves nothing.
    """

    nats: tuple[float, ...]
    variance: tuple[float, ...]
    choice: float
    wavelength: tuple[float | None, ...]


@torch.no_grad()
def layer_facts(model: CDVAE, corpus: Corpus, seed: int) -> LayerFacts:
    """Measure the layers on up to 64 held-out photos with 12 draws each."""
    pairs = corpus.held_out(_PHOTOS)
    condition, field = pairs.condition(slice(None)), pairs.field(slice(None))
    generator = torch.Generator().manual_seed(seed)
    nats = model.diagnostics(condition, field, generator=generator)["kl_field"]
    count = model.field_ladder.layers
    everything = _deviations(model, condition, [1.0] * count, seed)
    total = float(everything.square().mean()) or 1.0
    choice = float(_deviations(model, condition, [0.0] * count, seed).square().mean()) / total
    shares, wavelengths = [], []
    for layer in range(count):
        apart = _deviations(model, condition, [1.0 if i == layer else 0.0 for i in range(count)], seed)
        shares.append(float(apart.square().mean()) / total)
        bands = {band: float(values.sum()) for band, values in power(apart.flatten(0, 1)).items()}
        summed = sum(bands.values())
        mean = sum(p * np.log2(band * np.sqrt(2)) for band, p in bands.items()) / summed if summed else None
        wavelengths.append(None if mean is None else float(2**mean))
    kl = tuple(nats) if isinstance(nats, list) else (nats,)
    return LayerFacts(kl, tuple(shares), choice, tuple(wavelengths))


def layer_plot(found: Sequence[Found], corpus: Corpus, seed: int, note: str) -> bytes | None:
    """Three panels of bars, a group a co-embedding model and a bar a layer; None where there is none. PNG."""
    models = [(one, one.model()) for one in found if METHODS[one.method].codes]
    facts = [(one, layer_facts(model, corpus, seed)) for one, model in models if isinstance(model, CDVAE)]
    if not facts:
        return None
    figure, panels = new_figure(1, 3, (12.0, 3.4))
    titles = ("nats in the codes (KL)", "share of the samples' variance", "wavelength of what it moves (px)")
    for panel, title, name in zip(panels, titles, ("nats", "variance", "wavelength"), strict=True):
        for place, (_, fact) in enumerate(facts):
            values = getattr(fact, name)
            if name == "variance":
                panel.bar(place, fact.choice, width=0.84, color=_CHOICE)
            width = 0.8 / len(values)
            for layer, value in enumerate(values):
                at = place - 0.4 + (layer + 0.5) * width
                color = _COLORS[min(layer, len(_COLORS) - 1)]
                panel.bar(at, value or 0.0, width=(0.6 if name == "variance" else 0.92) * width, color=color)
        panel.set_xticks(range(len(facts)), [METHODS[one.method].label for one, _ in facts], rotation=20)
        panel.set_title(title)
        panel.grid(False, axis="x")
    panels[0].set_yscale("symlog", linthresh=1.0)
    panels[2].set_yscale("log", base=2)
    panels[2].set_yticks([2, 4, 8, 16, 32], ["2", "4", "8", "16", "32"])
    most = max(len(fact.nats) for _, fact in facts)
    colors = [_COLORS[min(layer, len(_COLORS) - 1)] for layer in range(most)]
    handles = [panels[1].bar([0], [0], color=color) for color in (*colors, _CHOICE)]
    names = [f"layer {layer + 1}" + (" (coarsest)" if layer == 0 else "") for layer in range(most)]
    figure.legend(handles, [*names, "no layer"], loc="outside right center", fontsize=8, frameon=False)
    return as_png(figure, note)


def _deviations(model: CDVAE, condition: torch.Tensor, temperature: list[float], seed: int) -> torch.Tensor:
    """Draws (n, batch, c, h, w) less their mean over the draws of a photo."""
    streams = Streams(seed, range(len(condition)))
    sampled = model.sample(condition, _DRAWS, generator=streams, temperature=temperature)
    return sampled - sampled.mean(0, keepdim=True)
