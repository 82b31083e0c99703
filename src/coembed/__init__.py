"""CoEmbed: many distinct, plausible fields for one photo, learned from scattered pairs.

>>> import coembed
>>> images = coembed.resaturate("photo.jpg", n=4, seed=0)  # doctest: +SKIP

The public names stand in ``__init__.pyi``, once; each is imported when first used, so ``import coembed`` is
quick and does not load torch.
"""

from typing import Any

import lazy_loader

_find, _, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("coembed")
    if name in __all__:
        return _find(name)
    raise AttributeError(f"module 'coembed' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
