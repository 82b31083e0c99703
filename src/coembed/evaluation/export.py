"""Evaluations for other programs: CSV with every number, LaTeX and a terminal table with those of a paper."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from coembed.evaluation.likelihood import Likelihood
from coembed.evaluation.results import Estimate, Evaluation
from coembed.serialization import write_bytes

_LATEX = {c: "\\" + c for c in "&%$#_{}"} | {"–": "--", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}"}


def write_csv(
    path: Path | str, evaluations: Sequence[Evaluation], densities: Sequence[Likelihood] = ()
) -> None:
    """One row a sampler: name, photos, samples, seconds, and each number with its standard error beside it.

    A number that a sampler lacks is left empty. Likelihoods get the columns ``nll_*``.
    """
    rows = [(e, e.summary() | _named(e.name, densities)) for e in evaluations]
    keys = list(dict.fromkeys(key for _, summary in rows for key in summary))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    heads = [head for key in keys for head in (key, f"{key}_error")]
    writer.writerow(["sampler", "photos", "samples", "seed", "sampling_seconds", *heads])
    for e, summary in rows:
        cells: list[object] = [e.name, e.conditions, e.samples, e.seed, e.sampling_seconds]
        for key in keys:
            found = summary.get(key)
            cells += ["", ""] if found is None else [found.value, "" if found.error is None else found.error]
        writer.writerow(cells)
    write_bytes(path, text.getvalue().encode())


def write_latex(path: Path | str, rows: Sequence[Sequence[str]]) -> None:
    """A tabular of head and rows, for the package booktabs."""
    head, *body = [[_escaped(cell) for cell in row] for row in rows]
    lines = [
        f"\\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}",
        "\\toprule",
        " & ".join(head) + " \\\\",
        "\\midrule",
    ]
    lines += [" & ".join(row) + " \\\\" for row in body]
    write_bytes(path, ("\n".join([*lines, "\\bottomrule", "\\end{tabular}"]) + "\n").encode())


def likelihood_table(densities: Sequence[Likelihood]) -> Table:
    """Bounds on the negative log likelihood, one row per model, for a terminal."""
    first = densities[0]
    scale = ", ".join(f"{s:.4g}" for s in first.scale)
    noise = f"; uniform noise of width {first.dequantised:g} added" if first.dequantised else ""
    given = "-log p(field | condition)" if first.target == "conditional" else "-log p(condition, field)"
    table = Table(
        title=f"{given}, {first.conditions} photos, {first.dimensions} values each",
        caption=f"Lower is better; ± is one standard error. Standardised: data divided by {scale} (standard "
        f"deviation per channel){noise}. Bits a dimension at 256 levels over the field's range.",
    )
    heads = ["Model", "ELBO (nats)", "K", "bound (nats)", "standardised (nats)", "nats/dim", "bits/dim"]
    for number, head in enumerate(heads):
        table.add_column(head, justify="right" if number else "left", no_wrap=True)
    for d in densities:
        summary = d.summary()
        cells = [_pm(summary.get(key), digits) for key, digits in _LIKELIHOOD]
        table.add_row(d.name, cells[0], "exact" if d.exact else str(d.particles), *cells[1:])
    return table


_LIKELIHOOD = [("elbo", 1), ("nats", 1), ("nats_standardised", 1), ("nats_per_dim", 4), ("bits_per_dim", 3)]


def _pm(estimate: Estimate | None, digits: int) -> str:
    if estimate is None:
        return "–"
    error = "" if estimate.error is None else f" ± {estimate.error:.{digits}f}"
    return f"{estimate.value:.{digits}f}{error}"


def _named(name: str, densities: Sequence[Likelihood]) -> dict[str, Estimate]:
    found = next((d for d in densities if d.name == name), None)
    return {} if found is None else {f"nll_{key}": value for key, value in found.summary().items()}


def _escaped(cell: str) -> str:
    return "".join(_LATEX.get(character, character) for character in cell)
