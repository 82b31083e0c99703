"""The same model with another way to sample."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any


def with_draws(model: Any, **changes: Any) -> Any:
    """The same model, weights shared and unchanged, with other values in its config of how it draws."""
    other = copy.copy(model)
    other.config = dataclasses.replace(model.config, **changes)
    return other
