"""One row's numbers as JSON: all that the page shows, and its loss while it trained."""

from __future__ import annotations

from typing import Any

from coembed.evaluation.bootstrap import compare, interval
from coembed.evaluation.results import Evaluation
from coembed.serialization import to_dict
from peers.score import Scored, at

COMPARED = ("energy", "multiscale_energy", "crps", "best_3", "best_100")
"""Metrics with intervals and paired differences to the reference; lower is better in all."""


def entry(scored: Scored, reference: Evaluation | None, few: list[int]) -> dict[str, Any]:
    """A row for the results.

    Args:
        scored: the row and its scores.
        reference: scores of the row that the others are compared with, of as many photos or more.
        few: the photos that slow rows are scored on: every row's scores on those alone are added.
    """
    row, evaluation = scored.row, scored.evaluation
    shared = [key for key in COMPARED if key in evaluation.summary()]
    found: dict[str, Any] = {
        "name": row.name,
        "kind": row.kind,
        "parameters": row.parameters,
        "training_seconds": row.seconds,
        "training_pairs_seen": row.images,
        "photos": evaluation.conditions,
        "milliseconds": scored.timing.own,
        "reference_milliseconds": scored.timing.reference,
        "summary": _plain(evaluation),
        "interval": {key: to_dict(interval(evaluation, key)) for key in shared},
        "few": {"photos": min(len(few), evaluation.conditions), "summary": _plain(at(evaluation, few))},
    }
    if reference is not None and reference.name != row.name:
        same = reference if evaluation.conditions == reference.conditions else at(reference, few)
        found["reference"] = reference.name
        found["difference"] = {key: to_dict(compare(evaluation, same, key)) for key in shared}
        found["reference_value"] = {key: same.summary()[key].value for key in shared}
    if row.curve:
        found["loss"] = row.curve
    return found


def _plain(evaluation: Evaluation) -> dict[str, Any]:
    return {key: to_dict(estimate) for key, estimate in evaluation.summary().items()}
