"""Evaluations as a table, on a terminal or in Markdown, with the paper's columns (tables 2-4) first."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from coembed.evaluation.report import BEST_OF, LEVELS, Evaluation, difference, linearised, ratio

_NOTES = (
    "Best of n (mean squared error a pixel) and variance are x 100, as in the paper. ES: fair energy score in "
    "the L2 norm of the field; ES 1-8: its mean over fields averaged over 1, 2, 4 and 8 pixels. Lower is "
    "better for best of n, ES and CRPS; 1 is right for spread/skill and sharpness (gradient energy over that "
    "of real fields); coverage should equal its head. Seconds: sampling, all photos."
)
# head, metric, factor, digits
_COLUMNS = [
    *[(f"n={n}", f"best_{n}", 100, 2) for n in BEST_OF],
    ("Var", "variance", 100, 2),
    ("ES", "energy", 1, 3),
    ("ES 1-8", "multiscale_energy", 1, 3),
    ("CRPS", "crps", 1, 4),
    ("spread/skill", "spread_skill", 1, 2),
    *[(f"cover {round(100 * level)}", f"coverage_{round(100 * level)}", 1, 2) for level in LEVELS],
    ("sharpness", "sharpness", 1, 2),
]
_COMPARED = [
    ("n=3", "best_3", 3),
    ("n=100", "best_100", 3),
    ("ES", "energy", 3),
    ("ES 1-8", "multiscale_energy", 3),
    ("CRPS", "crps", 3),
]


def rich_table(evaluations: Sequence[Evaluation]) -> Table:
    """One row a sampler, for a terminal."""
    first = evaluations[0]
    table = Table(title=f"{first.conditions} photos, {first.samples} samples each", caption=_NOTES)
    head, *rows = _cells(evaluations)
    for number, name in enumerate(head):
        table.add_column(name, justify="right" if number else "left", no_wrap=not number)
    for row in rows:
        table.add_row(*row)
    return table


def markdown_table(evaluations: Sequence[Evaluation]) -> str:
    """One row a sampler, and what the columns mean."""
    return _markdown(_cells(evaluations)) + "\n" + _NOTES + "\n"


def markdown_comparison(evaluations: Sequence[Evaluation], reference: Evaluation) -> str:
    """Ratios to the reference, and the paired difference in energy score with its standard error."""
    heads = [name for name, _, _ in _COMPARED]
    rows = [[f"Ratio to {reference.name}", *heads, "ES difference", "ES 1-8 difference"]]
    for e in evaluations:
        row = [e.name]
        for _, metric, digits in _COMPARED:
            known = _both(e, reference, metric)
            row.append(f"{ratio(e, reference, metric).value:.{digits}f}" if known else "–")
        for metric in ("energy", "multiscale_energy"):
            if not _both(e, reference, metric):
                row.append("–")
                continue
            found = difference(e, reference, metric)
            row.append(f"{found.value:+.3f}" + ("" if found.error is None else f" ± {found.error:.3f}"))
        rows.append(row)
    return _markdown(rows)


def _both(one: Evaluation, other: Evaluation, metric: str) -> bool:
    base = linearised(other, metric)
    return linearised(one, metric) is not None and base is not None and base[0] != 0


def _cells(evaluations: Sequence[Evaluation]) -> list[list[str]]:
    rows = [["Sampler", *[head for head, _, _, _ in _COLUMNS], "s"]]
    for e in evaluations:
        summary = e.summary()
        row = [e.name]
        for _, metric, factor, digits in _COLUMNS:
            row.append(f"{factor * summary[metric].value:.{digits}f}" if metric in summary else "–")
        rows.append([*row, f"{e.sampling_seconds:.1f}"])
    return rows


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "".join("| " + " | ".join(row) + " |\n" for row in (head, rule, *body))
