"""CoEmbed: many distinct, plausible fields for one photo, learned from scattered pairs.

>>> import coembed
>>> images = coembed.resaturate("photo.jpg", n=4, seed=0)  # doctest: +SKIP

The public names are imported when first used, so ``import coembed`` is quick and does not load torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coembed.data.store.store import PairStore, open_pairs
    from coembed.editing.api import relight, resaturate
    from coembed.editing.motion import Motion, predict_motion
    from coembed.errors import CoEmbedError, ConfigError, DataError, ModelError, PhotoError, TrainingError
    from coembed.models.cdvae.model import CDVAE
    from coembed.models.pretrained import from_pretrained, save_pretrained
    from coembed.numerics.random import Sampler, Streams
    from coembed.tasks import Layer, Task, get_task, register_task, task_names

    __version__: str

__all__ = [
    "CDVAE",
    "CoEmbedError",
    "ConfigError",
    "DataError",
    "Layer",
    "ModelError",
    "Motion",
    "PairStore",
    "PhotoError",
    "Sampler",
    "Streams",
    "Task",
    "TrainingError",
    "__version__",
    "from_pretrained",
    "get_task",
    "open_pairs",
    "predict_motion",
    "register_task",
    "relight",
    "resaturate",
    "save_pretrained",
    "task_names",
]

_HOMES = {
    "CDVAE": "coembed.models.cdvae.model",
    "CoEmbedError": "coembed.errors",
    "ConfigError": "coembed.errors",
    "DataError": "coembed.errors",
    "Layer": "coembed.tasks",
    "ModelError": "coembed.errors",
    "Motion": "coembed.editing.motion",
    "PairStore": "coembed.data.store.store",
    "PhotoError": "coembed.errors",
    "Sampler": "coembed.numerics.random",
    "Streams": "coembed.numerics.random",
    "Task": "coembed.tasks",
    "TrainingError": "coembed.errors",
    "from_pretrained": "coembed.models.pretrained",
    "get_task": "coembed.tasks",
    "open_pairs": "coembed.data.store.store",
    "predict_motion": "coembed.editing.motion",
    "register_task": "coembed.tasks",
    "relight": "coembed.editing.api",
    "resaturate": "coembed.editing.api",
    "save_pretrained": "coembed.models.pretrained",
    "task_names": "coembed.tasks",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        value = version("coembed")
    elif name in _HOMES:
        from importlib import import_module

        value = getattr(import_module(_HOMES[name]), name)
    else:
        raise AttributeError(f"module 'coembed' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
