"""Evaluations as tables: on a terminal, Markdown, CSV, LaTeX; the paper's columns (tables 2-4) first."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.table import Table

from coembed.evaluation.likelihood import Likelihood
from coembed.evaluation.results import BEST_OF, LEVELS, Estimate, Evaluation, difference, linearised, ratio
from coembed.serialization import write_bytes

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
_EPE = [*[(f"EPE n={n}", f"epe_{n}", 1, 4) for n in (1, *BEST_OF)], ("EPE of mean", "epe_mean", 1, 4)]
_MORE = [
    ("VS", "variogram", 1, 4),
    ("ranks", "reliability", 1, 2),
    ("average rank", "average_rank", 1, 2),
    ("band depth", "band_depth", 1, 2),
    *[(f"{b}-{2 * b} px", f"power_{b}px", 1, 2) for b in (2, 4, 8, 16)],
    ("precision", "precision", 1, 2),
    ("density", "density", 1, 2),
    ("recall", "recall", 1, 2),
    ("coverage", "coverage", 1, 2),
    ("novelty", "novelty", 1, 2),
]
_MORE_NOTES = (
    "VS: variogram score, lower is better. Ranks of pixels, average rank and band depth of fields: reliability "
    "indices, 0 if calibrated; {photos} calibrated photos come to about {chance:.2f} by chance in the latter "
    "two. Power by wavelength over that of real fields, 1 is right. Precision to coverage: generated pairs of "
    "condition and field of half the photos against real pairs of the other half; the last row puts real pairs "
    "in their place. "
    "Novelty: distance to the nearest training field over the real fields', 0 for copies."
)
_CONTENT = [
    ("content, own", "content_own", 1, 3),
    ("other", "content_other", 1, 3),
    ("truth's, own", "content_own_truth", 1, 3),
    ("truth's, other", "content_other_truth", 1, 3),
    ("same noise", "same_noise", 1, 2),
    ("rough", "same_noise_rough", 1, 2),
    ("common change", "common_change", 1, 2),
    ("own slope", "own_slope", 1, 2),
    ("global", "structure_global", 1, 2),
    ("truth's", "structure_global_truth", 1, 2),
    ("smooth", "structure_smooth", 1, 2),
    ("truth's", "structure_smooth_truth", 1, 2),
    ("C2ST", "c2st", 1, 2),
    ("pan", "pan_samples", 1, 2),
    ("truth's", "pan_truth", 1, 2),
    ("still", "still_samples", 1, 2),
    ("truth's", "still_truth", 1, 2),
]
_CONTENT_NOTES = (
    "Content: share of the rough spread that segments of the photo, and of another photo, explain; beside it "
    "the truth's residual. Same noise: correlation of draws of two photos, 0 if each photo shapes its own. "
    "Common change: share of an edit's energy that all versions have; own slope: of their field on the photo's "
    "own. Global, smooth: shares of the spread's energy. C2ST: accuracy of telling draws from true fields, 0.5 "
    "is perfect"
)
REAL = "real pairs"
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
    title = f"{first.conditions} photos, {first.samples} samples each"
    return _rich(_cells(evaluations), title=title, caption=_NOTES)


def _rich(rows: Sequence[Sequence[str]], *, title: str | None = None, caption: str | None = None) -> Table:
    """Head and rows for a terminal: names to the left, unbroken, numbers to the right."""
    table = Table(title=title, caption=caption)
    for number, name in enumerate(rows[0]):
        table.add_column(name, justify="right" if number else "left", no_wrap=not number)
    for row in rows[1:]:
        table.add_row(*row)
    return table


def more_table(evaluations: Sequence[Evaluation]) -> Table | None:
    """The numbers of the full set and end-point errors, one row a sampler; None where there are none."""
    rows = more_rows(evaluations)
    if not rows:
        return None
    first = evaluations[0]
    return _rich(rows, caption=_more_notes(first) if first.sets or "variogram" in first.values else None)


def more_rows(evaluations: Sequence[Evaluation]) -> list[list[str]]:
    """Head and rows of the full set, with the columns that some sampler has; empty where none has any."""
    summaries = [e.summary() for e in evaluations]
    columns = [column for column in (*_EPE, *_MORE) if any(column[1] in summary for summary in summaries)]
    if not columns:
        return []
    real = {key.removeprefix("real_"): value for key, value in summaries[0].items() if key.startswith("real_")}
    named = [(e.name, summary) for e, summary in zip(evaluations, summaries, strict=True)]
    rows = [["Sampler", *[head for head, _, _, _ in columns]]]
    for name, summary in [*named, *([(REAL, real)] if real else [])]:
        rows.append([name, *[_cell(summary, *column[1:]) for column in columns]])
    return rows


def content_table(evaluations: Sequence[Evaluation]) -> Table | None:
    """The numbers that see the photo's content, one row a sampler; None where there are none."""
    rows = content_rows(evaluations)
    if not rows:
        return None
    return _rich(rows, caption=content_notes(evaluations))


def content_rows(evaluations: Sequence[Evaluation]) -> list[list[str]]:
    """Head and rows of the numbers that see content, with the columns that some sampler has."""
    summaries = [e.summary() for e in evaluations]
    columns = [column for column in _CONTENT if any(column[1] in summary for summary in summaries)]
    rows = [["Sampler", *[head for head, _, _, _ in columns]]] if columns else []
    for e, summary in zip(evaluations, summaries, strict=True) if columns else ():
        rows.append([e.name, *[_cell(summary, *column[1:]) for column in columns]])
    return rows


def content_notes(evaluations: Sequence[Evaluation]) -> str:
    """Meaning of the columns, with the classifier's own rows of comparison."""
    summary = evaluations[0].summary()
    if "c2st" not in summary:
        return _CONTENT_NOTES + "."
    return (
        f"{_CONTENT_NOTES} ({summary['real_c2st'].value:.2f} for true fields parted by coin, "
        f"{summary['c2st_other'].value:.2f} for other photos' true fields; ± {summary['c2st'].error or 0:.2f})."
    )


def markdown_content(evaluations: Sequence[Evaluation]) -> str:
    """The table of content as Markdown with its notes; empty where there is none."""
    rows = content_rows(evaluations)
    return _markdown(rows) + "\n" + content_notes(evaluations) + "\n" if rows else ""


def _cell(summary: Mapping[str, Estimate], metric: str, factor: float, digits: int) -> str:
    return f"{factor * summary[metric].value:.{digits}f}" if metric in summary else "–"


def _more_notes(evaluation: Evaluation) -> str:
    # Ten bins of about 0.1 +- sqrt(0.09 / photos), mean absolute deviation 0.8 of that.
    chance = 10 * 0.8 * (0.09 / evaluation.conditions) ** 0.5
    return _MORE_NOTES.format(photos=evaluation.conditions, chance=chance)


def table_rows(evaluations: Sequence[Evaluation]) -> list[list[str]]:
    """Head and rows of the main table."""
    return _cells(evaluations)


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
    summaries = [e.summary() for e in evaluations]
    # Squared errors of small fields, such as flow in fractions of the frame, need more digits.
    errors = [100 * summary["best_3"].value for summary in summaries if "best_3" in summary]
    more = 2 if errors and max(errors) < 1 else 0
    for e, summary in zip(evaluations, summaries, strict=True):
        row = [e.name]
        for _, metric, factor, digits in _COLUMNS:
            shown = digits + (more if factor == 100 else 0)
            row.append(f"{factor * summary[metric].value:.{shown}f}" if metric in summary else "–")
        rows.append([*row, f"{e.sampling_seconds:.1f}"])
    return rows


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    head, *body = rows
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "".join("| " + " | ".join(row) + " |\n" for row in (head, rule, *body))


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
