"""Orderings of the paper that hold here: its methods, metric by metric, two by two."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from coembed.cli.reproduce import paper
from coembed.cli.reproduce.options import METHODS
from coembed.cli.reproduce.tables import Table
from coembed.evaluation.likelihood import Likelihood, paired
from coembed.evaluation.results import BEST_OF, Estimate, difference, linearised

if TYPE_CHECKING:
    from coembed.cli.reproduce.work import Found

_SURE = 2.0  # standard errors of the paired difference


def orderings(task: str, found: Sequence[Found]) -> Table | None:
    """A row a metric: the paper's order, ours, and how many pairs of methods agree; None where it has none."""
    rows = [["Metric", "the paper", "here", "pairs alike", "pairs the other way", "undecided"]]
    for head, metric in [*[(f"best of {n}", f"best_{n}") for n in BEST_OF], ("variance", "variance")]:
        theirs = {
            one.method: row[metric]
            for one in found
            if (row := paper.errors(task, METHODS[one.method].paper)) is not None
            and linearised(one.evaluation, metric) is not None
        }
        ours = {one.method: one.evaluation for one in found if one.method in theirs}
        values = {m: e.summary()[metric].value for m, e in ours.items()}
        apart = {(a, b): difference(ours[a], ours[b], metric) for a, b in itertools.permutations(ours, 2)}
        if len(theirs) > 1:
            rows.append(_row(head, theirs, values, apart))
    theirs = {
        one.method: value
        for one in found
        if one.joint is not None and (value := paper.likelihood(task, METHODS[one.method].paper)) is not None
    }
    joint: dict[str, Likelihood] = {
        one.method: one.joint for one in found if one.method in theirs and one.joint is not None
    }
    if len(theirs) > 1:
        values = {m: d.summary()["nats"].value for m, d in joint.items()}
        apart = {(a, b): paired(joint[a], joint[b]) for a, b in itertools.permutations(joint, 2)}
        rows.append(_row("−log p(xc, xg)", theirs, values, apart))
    if len(rows) == 1:
        return None
    note = (
        "Methods of the paper's tables from the least value to the largest. Two methods are alike or the other "
        f"way where they differ by more than {_SURE:g} standard errors of the difference, paired over photos; "
        "where the paper's own numbers are equal, a pair is left out."
    )
    return Table("orderings", "Which of the paper's orderings hold here", rows, note)


def _row(
    head: str,
    theirs: dict[str, float],
    values: dict[str, float],
    apart: dict[tuple[str, str], Estimate],
) -> list[str]:
    alike = other = open_ = 0
    for a, b in itertools.combinations(theirs, 2):
        if theirs[a] == theirs[b]:
            continue
        low, high = (a, b) if theirs[a] < theirs[b] else (b, a)
        gap = apart[low, high]  # below 0 if the pair is as in the paper
        if gap.error is None or abs(gap.value) <= _SURE * gap.error:
            open_ += 1
        elif gap.value < 0:
            alike += 1
        else:
            other += 1
    return [head, _chain(theirs), _chain(values), str(alike), str(other), str(open_)]


def _chain(values: dict[str, float]) -> str:
    return " < ".join(METHODS[m].label for m in sorted(values, key=lambda m: values[m]))
