"""A trained model of linear towers with fewer codes and a smaller regression: what is last in order goes.

    python scripts/trim_weights.py RUN DEST --codes 512 --rank 192 [--leading 8 --temperatures 1.25 0]

Codes and components are ordered by variance, so what is cut off is what carries least. The variance of the cut
codes goes to the pixel noise, which keeps the density honest. Measure the result: it is another model. How it
draws is set here, too, if said.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
from pathlib import Path

import torch

from coembed.models.cdvae.model import CDVAE
from coembed.models.files import save_pretrained
from coembed.models.pretrained import load_pretrained


def main() -> None:
    """Loads, cuts, saves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("dest", type=Path)
    parser.add_argument("--codes", type=int, required=True, help="codes of the field to keep, in all")
    parser.add_argument("--rank", type=int, required=True, help="components that the regression keeps")
    parser.add_argument(
        "--leading", dest="n_active_dims", type=int, help="dimensions of the top code that draws vary in"
    )
    parser.add_argument("--temperatures", type=float, nargs="+", help="of the field's codes, top first")
    options = parser.parse_args()
    loaded = load_pretrained(options.run)
    model = trimmed(loaded.model, options.codes, options.rank)
    if options.n_active_dims is not None:
        model = model.with_sampling(n_active_dims=options.n_active_dims)
    if options.temperatures is not None:
        model = model.with_sampling(temperatures=tuple(options.temperatures))
    save_pretrained(model, options.dest, task=loaded.task)
    print(options.dest)


@torch.no_grad()
def trimmed(model: CDVAE, codes: int, rank: int) -> CDVAE:
    """The model with ``codes`` leading codes of the field and ``rank`` leading components of its regression."""
    config, tower = model.config, model.field_ladder.tower
    *upper, last = config.field.codes
    kept = codes - sum(upper)
    if config.field.tower != "linear" or config.regression is None or not 0 < kept <= last:
        raise SystemExit(f"codes: got {codes}, expected {sum(upper) + 1} to {sum(upper) + last}, linear towers")
    small = CDVAE(
        dataclasses.replace(
            config,
            field=dataclasses.replace(config.field, codes=(*upper, kept)),
            regression=dataclasses.replace(config.regression, rank=rank),
        ),
        model.sampling,
    )
    whole = model.state_dict()
    mixed = "regression.patches.narrow.weight"  # its columns: components, then patches
    if mixed in whole:
        columns = whole[mixed]
        whole[mixed] = torch.cat([columns[:, :rank], columns[:, config.regression.rank :]], 1)
    small.load_state_dict(
        {
            name: whole[name][tuple(slice(0, length) for length in tensor.shape)].clone()
            for name, tensor in small.state_dict().items()
        }
    )
    cut = torch.exp(2 * tower.state_dict()["log_scale"][codes:]).sum() / math.prod(config.field_shape)
    noise = small.field_ladder.pixel_log_var
    noise.copy_(torch.log(torch.exp(noise) + cut))
    return small.eval()


if __name__ == "__main__":
    main()
