"""The detail map (paper section 4.2, Eq. 10): what the network lost returns from the photo itself.

Eq. 10 reads ``I_g = D(z_g) + (I_o - D(z_o))`` with ``I_o`` the photo's true layer and ``D(z_o)`` its
reconstruction from its own code. With a linear upsampler U that is ``I_o + U(D(z_g) - D(z_o))``: only the
difference is upsampled. So a sample equal to the reconstruction changes nothing, bit for bit.
"""

from __future__ import annotations

import numpy as np

from coembed.errors import ConfigError, DataError


def detail_delta(
    sample: np.ndarray,
    reconstruction: np.ndarray,
    strength: float = 1.0,
    *,
    log: bool = False,
    floor: float = 1e-3,
) -> np.ndarray:
    """The change that a sample makes, at low resolution (Eq. 10).

    Args:
        sample: (..., h, w), the decoder's output at a sampled code, D(z_g).
        reconstruction: broadcastable to it, the decoder's output at the true layer's code, D(z_o).
        strength: 0 keeps the photo, 1 is the paper's; more exaggerates.
        log: the difference of logarithms, for layers that multiply (shading).
        floor: with ``log``, values below this count as this.

    Returns:
        float32 (..., h, w): exactly 0 wherever both agree.

    Raises:
        ConfigError: a strength that is negative or not finite, or a floor that is not positive.
        DataError: shapes that do not fit.
    """
    if not (np.isfinite(strength) and strength >= 0):
        raise ConfigError(f"strength is {strength!r}, expected a finite number of at least 0")
    if not floor > 0:
        raise ConfigError(f"floor is {floor!r}, expected a positive number")
    sample, reconstruction = np.asarray(sample, np.float32), np.asarray(reconstruction, np.float32)
    if sample.shape[-2:] != reconstruction.shape[-2:]:
        raise DataError(f"sample has shape {sample.shape}, the reconstruction {reconstruction.shape}")
    if log:
        sample, reconstruction = np.log(np.maximum(sample, floor)), np.log(np.maximum(reconstruction, floor))
    return np.float32(strength) * (sample - reconstruction)
