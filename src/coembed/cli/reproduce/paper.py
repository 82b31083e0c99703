"""The paper's own numbers (tables 1-4), to stand beside ours; its data, training and scaling were others."""

from __future__ import annotations

from coembed.evaluation.results import BEST_OF

# task -> method -> best of 3, 10, 30, 60, 100 and variance, all x 100
_TABLES: dict[str, dict[str, tuple[float, ...]]] = {
    "relighting": {
        "NN": (3.04, 2.30, 1.93, 1.76, 1.66, 1.04),
        "CVAE": (3.44, 2.93, 2.61, 2.48, 2.39, 0.61),
        "Shallow": (2.51, 1.94, 1.63, 1.49, 1.40, 0.83),
        "Gauss": (2.15, 1.63, 1.35, 1.24, 1.16, 1.19),
        "MDN4": (2.44, 1.66, 1.33, 1.20, 1.11, 1.77),
        "MDN12": (2.49, 1.69, 1.33, 1.20, 1.12, 1.74),
    },
    "resaturation": {
        "NN": (10.12, 8.40, 7.09, 6.52, 6.20, 4.58),
        "CVAE": (8.02, 7.14, 6.54, 6.23, 6.04, 0.96),
        "Shallow": (7.48, 6.11, 5.33, 4.97, 4.73, 1.64),
        "Gauss": (7.39, 6.02, 4.96, 4.45, 4.13, 3.10),
        "MDN4": (6.62, 5.11, 4.37, 4.05, 3.86, 3.48),
        "MDN12": (6.40, 5.04, 4.33, 4.02, 3.82, 3.55),
    },
    "motion": {
        "NN": (2.39, 1.75, 1.45, 1.31, 1.23, 0.95),
        "CVAE": (5.33, 4.31, 3.69, 3.38, 3.18, 0.81),
        "Shallow": (2.50, 1.89, 1.57, 1.42, 1.32, 0.67),
        "Gauss": (1.54, 1.05, 0.81, 0.72, 0.67, 1.19),
        "MDN4": (1.36, 0.89, 0.71, 0.63, 0.60, 1.54),
        "MDN12": (1.61, 0.92, 0.69, 0.62, 0.58, 2.28),
    },
}
# task -> method -> -log p(xc, xg); the motion CVAE is the paper's copy from Walker et al. 2016
_LIKELIHOOD: dict[str, dict[str, float]] = {
    "relighting": {"Shallow": 2373, "Gauss": 1932, "MDN4": 1854, "MDN12": 1821},
    "resaturation": {"Shallow": 1593, "Gauss": 1284, "MDN4": 1105, "MDN12": 1078},
    "motion": {"CVAE": 11082, "Shallow": 7425, "Gauss": 6489, "MDN4": 6449, "MDN12": 6517},
}
_NUMBER = {"relighting": 2, "resaturation": 3, "motion": 4}


def table_number(task: str) -> int | None:
    """Number of the paper's table, 2 to 4, that is about this task."""
    return _NUMBER.get(task)


def errors(task: str, method: str | None) -> dict[str, float] | None:
    """Best-of-n errors and variance x 100 by metric name (``best_3``, ..., ``variance``), or None."""
    row = _TABLES.get(task, {}).get(method or "")
    return None if row is None else dict(zip((*[f"best_{n}" for n in BEST_OF], "variance"), row, strict=True))


def over_nearest(task: str, method: str | None, metric: str) -> float | None:
    """A number of tables 2-4 over that of nearest neighbours, or None."""
    row, base = errors(task, method), errors(task, "NN")
    return None if row is None or base is None else row[metric] / base[metric]


def likelihood(task: str, method: str | None) -> float | None:
    """-log p(xc, xg) of table 1, whose scaling and bound the paper does not state, or None."""
    return _LIKELIHOOD.get(task, {}).get(method or "")
