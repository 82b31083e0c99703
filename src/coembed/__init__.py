"""CoEmbed: many distinct, plausible fields for one photo, learned from scattered pairs.

>>> import coembed
>>> images = coembed.resaturate("photo.jpg", n=4, seed=0)  # doctest: +SKIP

The public names are imported when first used, so ``import coembed`` is quick and does not load torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coembed.data.shards import PairStore, open_pairs
    from coembed.edit import relight, resaturate
    from coembed.errors import CoEmbedError, ConfigError, DataError, ModelError, PhotoError, TrainingError
    from coembed.hub import from_pretrained, save_pretrained
    from coembed.model.cdvae import CDVAE
    from coembed.motion import Motion, predict_motion
    from coembed.sampling import Sampler, Streams
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
    "CDVAE": "coembed.model.cdvae",
    "CoEmbedError": "coembed.errors",
    "ConfigError": "coembed.errors",
    "DataError": "coembed.errors",
    "Layer": "coembed.tasks",
    "ModelError": "coembed.errors",
    "Motion": "coembed.motion",
    "PairStore": "coembed.data.shards",
    "PhotoError": "coembed.errors",
    "Sampler": "coembed.sampling",
    "Streams": "coembed.sampling",
    "Task": "coembed.tasks",
    "TrainingError": "coembed.errors",
    "from_pretrained": "coembed.hub",
    "get_task": "coembed.tasks",
    "open_pairs": "coembed.data.shards",
    "predict_motion": "coembed.motion",
    "register_task": "coembed.tasks",
    "relight": "coembed.edit",
    "resaturate": "coembed.edit",
    "save_pretrained": "coembed.hub",
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
