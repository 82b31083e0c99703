"""The paper's tables as rows of text, ours beside its own; CSV, LaTeX and JSON of them."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from coembed.cli.reproduce import paper
from coembed.cli.reproduce.options import METHODS, REFERENCE
from coembed.evaluation.results import BEST_OF, Estimate, difference, linearised, ratio
from coembed.evaluation.tables import content_notes, content_rows
from coembed.serialization import write_bytes

if TYPE_CHECKING:
    from coembed.cli.reproduce.work import Found

NONE = "–"


@dataclass(frozen=True)
class Table:
    """Text in rows; the first row is the head.

    Attributes:
        name: of its files.
        title: above it.
        rows: cells.
        note: what the numbers are.
        best: columns in which the least value stands out, by number.
    """

    name: str
    title: str
    rows: list[list[str]]
    note: str
    best: tuple[int, ...] = ()


def errors(task: str, found: Sequence[Found]) -> Table:
    """Tables 2-4: best-of-n errors and variance x 100, with the paper's row beside each."""
    columns = [*[(f"n={n}", f"best_{n}") for n in BEST_OF], ("Var", "variance")]
    known = found[0].evaluation.summary()
    columns = [(head, metric) for head, metric in columns if metric in known]
    number = paper.table_number(task)
    rows = [["Method", *[head for head, _ in columns], *[f"paper {head}" for head, _ in columns if number]]]
    digits = _digits([100 * value.value for key, value in known.items() if key in dict(columns).values()])
    for one in found:
        summary, theirs = one.evaluation.summary(), paper.errors(task, METHODS[one.method].paper)
        row = [METHODS[one.method].label, *[f"{100 * summary[m].value:.{digits}f}" for _, m in columns]]
        row += [NONE if theirs is None else f"{theirs[m]:.2f}" for _, m in columns if number]
        rows.append(row)
    what = f" (the paper's table {number})" if number else ""
    note = (
        "Mean squared error a pixel of the best of n samples, and variance at 16 grid points, both × 100, as "
        "in the paper. Best-of-n rewards too wide a spread and variance rewards noise: read the proper scores, "
        "too."
    )
    smoothed = next((one.config.get("smoothing") for one in found if one.method == REFERENCE), None)
    if smoothed is not None:
        note += (
            f" NN's fields are smoothed by a Gaussian of {smoothed:g} px, which serves the best of 100 of "
            "training photos best (the paper smooths, too, and does not say how much); best of n is of n among "
            "the 100 nearest. Neighbours and random fields are of whole photos, not of crops."
        )
    if number:
        note += " The paper's data, sizes of training set and training times were others, so compare ratios."
    return Table("errors", f"Best of n and variance{what}", rows, note, tuple(range(1, len(columns))))


def ratios(task: str, found: Sequence[Found]) -> Table:
    """The same as ratios to nearest neighbours, here and in the paper."""
    base = next(one for one in found if one.method == REFERENCE)
    theirs_base = paper.errors(task, METHODS[REFERENCE].paper)
    metrics = [*[(f"n={n}", f"best_{n}") for n in BEST_OF], ("Var", "variance")]
    known = base.evaluation.summary()
    metrics = [(h, m) for h, m in metrics if m in known and known[m].value > 0]
    rows = [["Method", *[h for h, _ in metrics], *[f"paper {h}" for h, _ in metrics if theirs_base]]]
    for one in found:
        row = [METHODS[one.method].label]
        row += [_estimate(ratio(one.evaluation, base.evaluation, m), 2) for _, m in metrics]
        theirs = paper.errors(task, METHODS[one.method].paper)
        if theirs_base:
            row += [NONE if theirs is None else f"{theirs[m] / theirs_base[m]:.2f}" for _, m in metrics]
        rows.append(row)
    note = "Paired over photos; ± is one standard error. Below 1 is better than nearest neighbours in error."
    return Table("ratios", "Ratios to nearest neighbours", rows, note, tuple(range(1, len(metrics))))


def proper(found: Sequence[Found]) -> Table:
    """Proper scores, calibration and cost."""
    base = next(one for one in found if one.method == REFERENCE)
    columns = [
        ("ES", "energy", 3),
        ("ES 1-8", "multiscale_energy", 3),
        ("CRPS", "crps", 4),
        ("spread/skill", "spread_skill", 2),
        ("cover 50", "coverage_50", 2),
        ("cover 90", "coverage_90", 2),
        ("sharpness", "sharpness", 2),
    ]
    rows = [["Method", *[h for h, _, _ in columns], "ES − NN", "training", "pairs seen", "sampling"]]
    for one in found:
        summary = one.evaluation.summary()
        row = [METHODS[one.method].label]
        row += [f"{summary[m].value:.{d}f}" if m in summary else NONE for _, m, d in columns]
        both = linearised(one.evaluation, "energy") and linearised(base.evaluation, "energy")
        apart = difference(one.evaluation, base.evaluation, "energy") if both else None
        row.append(NONE if apart is None or one is base else _estimate(apart, 3, sign=True))
        images = f"{one.model.images:,d}" if one.model.images else NONE
        row += [_minutes(one.model.seconds), images]
        rows.append([*row, NONE if one.milliseconds is None else f"{one.milliseconds:.2f} ms"])
    note = (
        "ES: fair energy score in the L2 norm of the field, ES 1-8 its mean over fields averaged over 1, 2, 4 "
        "and 8 pixels, CRPS a pixel: lower is better. Spread/skill and sharpness (gradient energy over real "
        "fields') should be 1, coverages their head. ES − NN is paired over photos, ± one standard error. "
        "Sampling is the processor time of one sample, among the 100 of 16 photos."
    )
    return Table("scores", "Proper scores and calibration", rows, note, (1, 2, 3))


def further(found: Sequence[Found]) -> Table:
    """Scores that see what the others miss: correlations, ranks, texture, pairs as sets, memory."""
    columns = [
        ("variogram", "variogram", 4),
        ("cover 80", "coverage_80", 2),
        ("ranks", "reliability", 2),
        ("average rank", "average_rank", 2),
        ("band depth", "band_depth", 2),
        *[(f"power {b}-{2 * b} px", f"power_{b}px", 2) for b in (2, 4, 8, 16)],
        ("precision", "precision", 2),
        ("density", "density", 2),
        ("recall", "recall", 2),
        ("coverage", "coverage", 2),
        ("novelty", "novelty", 2),
        ("EPE of one", "epe_1", 4),
        ("EPE of the best", f"epe_{max(BEST_OF)}", 4),
    ]
    summaries = [(METHODS[one.method].label, one.evaluation.summary()) for one in found]
    columns = [c for c in columns if any(c[1] in summary for _, summary in summaries)]
    rows = [["Method", *[head for head, _, _ in columns]]]
    for label, summary in summaries:
        rows.append([label, *[f"{summary[m].value:.{d}f}" if m in summary else NONE for _, m, d in columns]])
    real = next((s for _, s in summaries if "real_precision" in s), None)
    if real is not None:
        kept = ("precision", "density", "recall", "coverage")
        cells = [f"{real[f'real_{m}'].value:.{d}f}" if m in kept else NONE for _, m, d in columns]
        rows.append(["real pairs", *cells])
    # The expected sum of deviations of ten shares of 1/10 each, counted over so many photos.
    chance = 10 * math.sqrt(2 / math.pi * 0.1 * 0.9 / found[0].evaluation.conditions)
    note = (
        "Variogram (correlations of pixels) and end-point errors: lower is better. Cover 80 should be 0.8. "
        f"Ranks of pixels and of whole fields: 0 is calibrated; chance leaves {chance:.2f} of whole fields. "
        "Power (samples' over real fields' by wavelength) and novelty (distance to the nearest training "
        "field over that of real ones) should be 1. Precision to coverage compare pairs of photo and field as "
        "sets and should be what real pairs reach."
    )
    best = tuple(
        i for i, (_, m, _) in enumerate(columns, 1) if m in ("variogram", "epe_1", f"epe_{max(BEST_OF)}")
    )
    return Table("further", "Correlations, ranks, texture, sets of pairs", rows, note, best)


def content(found: Sequence[Found]) -> Table | None:
    """Numbers that see the photo's content; None for scores that lack them."""
    named = [replace(one.evaluation, name=METHODS[one.method].label) for one in found]
    rows = content_rows(named)
    if not rows:
        return None
    rows[0][0] = "Method"
    return Table("content", "What sees the photo", rows, content_notes(named))


def likelihoods(task: str, found: Sequence[Found]) -> Table:
    """Table 1: bounds on -log p(xc, xg) and -log p(xg | xc)."""
    heads = ["Method", "−log p(xc, xg)", "bits a dim", "−log p(xg | xc)", "bits a dim", "paper −log p(xc, xg)"]
    rows = [heads]
    first = None
    for one in found:
        theirs = paper.likelihood(task, METHODS[one.method].paper)
        row = [METHODS[one.method].label]
        for density in (one.joint, one.conditional):
            if density is None:
                row += [NONE, NONE]
                continue
            if first is None or not density.exact:
                first = density
            summary = density.summary()
            row.append(_estimate(summary["nats_standardised"], 0))
            row.append(f"{summary['bits_per_dim'].value:.2f}" if "bits_per_dim" in summary else NONE)
        rows.append([*row, NONE if theirs is None else f"{theirs:g}"])
    note = "No method here has a density."
    if first is not None:
        note = (
            f"Importance-weighted bounds with {first.particles} particles on {first.conditions} photos (exact "
            "where a method allows), every normaliser included, in nats of data divided by each channel's "
            "standard deviation; bits per dimension at 256 levels over the range. Uniform noise of width "
            f"{first.dequantised:.3g} is added, so that exact repeats buy nothing. The paper states neither "
            "its scaling nor its bound: only its order compares. Nearest neighbours and random fields have no "
            "density, a CVAE no joint one."
        )
    return Table("likelihood", "Likelihood (the paper's table 1)", rows, note, (1, 2, 3, 4))


def write_csv(path: Path, table: Table) -> None:
    """The cells of a table as CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(table.rows)
    write_bytes(path, text.getvalue().encode())


def write_markdown(path: Path, table: Table) -> None:
    """The table as Markdown, with its title and note."""
    head, *body = [[cell.replace("|", "\\|") for cell in row] for row in table.rows]
    first = leads(table)
    lines = [f"## {table.title}", "", f"| {' | '.join(head)} |", f"| --- |{' ---: |' * (len(head) - 1)}"]
    for i, row in enumerate(body, 1):
        cells = [f"**{cell}**" if (i, j) in first else cell for j, cell in enumerate(row)]
        lines.append(f"| {' | '.join(cells)} |")
    write_bytes(path, "\n".join([*lines, "", table.note, ""]).encode())


def leads(table: Table) -> set[tuple[int, int]]:
    """(row, column) of the least value in every column of ``best``; cells that are no numbers do not count."""
    found = set()
    for column in table.best:
        values = [
            (value, i) for i, row in enumerate(table.rows[1:], 1) if (value := _number(row[column])) is not None
        ]
        if values:
            least = min(values)[0]
            found |= {(i, column) for value, i in values if value == least}
    return found


def _digits(values: Sequence[float]) -> int:
    """Decimals that show three digits of the least value, two at least: motion's errors are small."""
    least = min((abs(v) for v in values if v), default=1.0)
    return 2 if least >= 1 else min(6, 2 + math.ceil(-math.log10(least)))


def _number(cell: str) -> float | None:
    try:
        return float(cell.split(" ")[0].replace("−", "-"))
    except ValueError:
        return None


def _estimate(found: Estimate, digits: int, *, sign: bool = False) -> str:
    value = f"{found.value:{'+' if sign else ''}.{digits}f}"
    return value if found.error is None else f"{value} ± {found.error:.{digits}f}"


def _minutes(seconds: float) -> str:
    if seconds == 0:
        return NONE
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
