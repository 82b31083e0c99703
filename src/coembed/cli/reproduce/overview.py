"""All folders of pairs at a glance: one table and one figure of ratios to nearest neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from coembed.cli.reproduce import paper
from coembed.cli.reproduce.options import METHODS, REFERENCE
from coembed.cli.reproduce.plots import INK, as_png, new_figure
from coembed.cli.reproduce.tables import NONE, Table
from coembed.evaluation.results import BEST_OF, Estimate, linearised, ratio

if TYPE_CHECKING:
    from coembed.cli.reproduce.models import Corpus
    from coembed.cli.reproduce.work import Found

Sections = Mapping[str, tuple["Corpus", Sequence["Found"]]]


def overview_table(sections: Sections) -> Table:
    """A row per method; for every folder best of n, variance and energy score over nearest neighbours'."""
    methods = [m for m in METHODS if any(one.method == m for _, found in sections.values() for one in found)]
    rows = [["Method"]]
    best: list[int] = []
    for name, (corpus, found) in sections.items():
        n = _most(found)
        theirs = paper.table_number(corpus.task) is not None and n == max(BEST_OF)
        at = len(rows[0])
        best += [at, at + (4 if theirs else 2)]
        rows[0] += [f"{name}: best of {n}", *(["paper"] if theirs else []), "variance"]
        rows[0] += [*(["paper"] if theirs else []), "energy score"]
    for method in methods:
        row = [METHODS[method].label]
        for corpus, found in sections.values():
            n = _most(found)
            theirs = paper.table_number(corpus.task) is not None and n == max(BEST_OF)
            for metric in (f"best_{n}", "variance", "energy"):
                row.append(_cell(_over_nearest(found, method, metric)))
                if theirs and metric != "energy":
                    value = paper.over_nearest(corpus.task, METHODS[method].paper, metric)
                    row.append(NONE if value is None else f"{value:.2f}")
        rows.append(row)
    note = (
        "Ratios to NN (neighbours in condition space), paired over photos, and those of the paper's tables "
        "2-4. Best of n and energy score: below 1 is better than NN. Variance alone is neither good nor bad."
    )
    return Table("overview", "All tasks, as ratios to nearest neighbours", rows, note, tuple(best))


def overview_figure(sections: Sections, note: str) -> bytes | None:
    """Figure 4 of all folders: error of the best against variance, over NN's; the paper's hollow. PNG bytes."""
    shown = {name: part for name, part in sections.items() if _points(part[1])}
    if not shown:
        return None
    figure, panels = new_figure(1, len(shown), (1.0 + 3.6 * len(shown), 4.3))
    handles = {}
    for panel, (name, (corpus, found)) in zip(panels, shown.items(), strict=True):
        for method, x, y in _points(found):
            color, label = METHODS[method].color, METHODS[method].label
            theirs = [
                paper.over_nearest(corpus.task, METHODS[method].paper, metric)
                for metric in ("variance", f"best_{max(BEST_OF)}")
            ]
            if None not in theirs and method != REFERENCE:
                there = {"facecolor": "none", "edgecolor": color, "linewidth": 1.4}
                panel.plot([x, theirs[0]], [y, theirs[1]], color=color, linewidth=0.7, alpha=0.5, zorder=1)
                panel.scatter([theirs[0]], [theirs[1]], s=44, zorder=2, **there)
            handles[label] = panel.scatter(
                [x], [y], s=52, color=color, zorder=3, edgecolor="white", linewidth=0.7
            )
        panel.axhline(1, color=INK, linewidth=0.8, linestyle=":")
        panel.axvline(1, color=INK, linewidth=0.8, linestyle=":")
        panel.set_title(name)
        panel.set_xlabel("variance / NN's")
    panels[0].set_ylabel("error of the best sample / NN's")
    figure.legend(handles.values(), handles.keys(), loc="outside right center", fontsize=8, frameon=False)
    return as_png(figure, note)


def _points(found: Sequence[Found]) -> list[tuple[str, float, float]]:
    n = _most(found)
    points = []
    for one in found:
        x = _over_nearest(found, one.method, "variance")
        y = _over_nearest(found, one.method, f"best_{n}")
        if x is not None and y is not None:
            points.append((one.method, x.value, y.value))
    return points


def _most(found: Sequence[Found]) -> int:
    known = found[0].evaluation.summary()
    return max(n for n in BEST_OF if f"best_{n}" in known)


def _over_nearest(found: Sequence[Found], method: str, metric: str) -> Estimate | None:
    """A method's number over that of nearest neighbours; None where either is missing or the latter is 0."""
    by_name = {one.method: one.evaluation for one in found}
    one, base = by_name.get(method), by_name.get(REFERENCE)
    if one is None or base is None or linearised(one, metric) is None:
        return None
    below = linearised(base, metric)
    return None if below is None or below[0] == 0 else ratio(one, base, metric)


def _cell(found: Estimate | None) -> str:
    if found is None:
        return NONE
    return f"{found.value:.2f}" if found.error is None else f"{found.value:.2f} ± {found.error:.2f}"
