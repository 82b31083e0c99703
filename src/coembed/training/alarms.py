"""Plain words for what the diagnostics say when a latent model has quietly stopped working.

Names looked for in ``diagnostics``: lists ``kl...`` (nats per layer), lists ``active...`` (active units per
layer), number ``components_effective`` with ``components`` beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DEAD_LAYER_NATS = 0.1
IGNORED_CODE_NATS = 1.0
FEW_COMPONENTS = 2.0


def alarms(diagnostics: Mapping[str, Any]) -> dict[str, str]:
    """What is wrong, by a short key that stays the same while the same thing is wrong.

    A layer is dead below 0.1 nats of KL; codes are ignored when all layers together hold less than 1 nat, or no
    unit is active; mixture components have died when fewer than 2 of more than 2 are in effect.
    """
    found = {}
    for name, value in diagnostics.items():
        if name.startswith("kl") and isinstance(value, (list, tuple)) and value:
            whose = _whose(name, "kl")
            if sum(value) < IGNORED_CODE_NATS:
                found[f"{name}:ignored"] = (
                    f"The {whose}codes are ignored: all layers together hold {sum(value):.2f} nats, so the "
                    "decoder works without them and samples will look alike. Try a longer warmup_fraction."
                )
            else:
                for layer, nats in enumerate(value):
                    if nats < DEAD_LAYER_NATS:
                        found[f"{name}:{layer}"] = (
                            f"Layer {layer} of the {whose}codes (0 is the coarsest) is dead: it holds "
                            f"{nats:.3f} nats, less than {DEAD_LAYER_NATS}, and adds nothing to samples."
                        )
        if name.startswith("active") and isinstance(value, (list, tuple)) and value and sum(value) == 0:
            found[f"{name}:ignored"] = (
                f"No unit of the {_whose(name, 'active')}codes is active: none changes with the photo."
            )
        if name == "components_effective" and isinstance(value, (int, float)):
            total = diagnostics.get("components")
            if isinstance(total, (int, float)) and total > 2 and value < FEW_COMPONENTS:
                found[name] = (
                    f"Mixture components have died: {value:.2f} of {total:.0f} are in effect, so the mixture "
                    "is a single Gaussian in all but name. Try a larger starting sigma or fewer components."
                )
    return found


def _whose(name: str, prefix: str) -> str:
    owner = name.removeprefix(prefix).strip("_").replace("_", " ")
    return f"{owner} " if owner else ""
