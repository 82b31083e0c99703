"""``coembed evaluate``: a model, and if wanted the simple samplers, on pairs; a table and a JSON file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from coembed.errors import ConfigError, DataError, check_at_least

if TYPE_CHECKING:
    from coembed.data.pairs import Pairs
    from coembed.data.store.store import PairStore
    from coembed.evaluation.bootstrap import Comparison
    from coembed.evaluation.leak.intervention import Slope
    from coembed.evaluation.likelihood import Likelihood
    from coembed.evaluation.results import Evaluation
    from coembed.models.base import Sampler

    Scores = tuple[list[Evaluation], list[Likelihood], list[tuple[str, Comparison]]]

_SHOWN = ("energy", "epe_1", "variogram")  # of the comparisons; the JSON file holds all
_SLOPE_PHOTOS = 100  # that leaks are tested on
_COMPARED = ("best_3", "best_100", "energy", "multiscale_energy", "crps", "variogram", "epe_1", "spread_skill")


@dataclass(frozen=True)
class EvaluateConfig:
    """Score a model's samples against real fields.

    Raises:
        ConfigError: a value outside its range; the message names the option.
    """

    run: tyro.conf.Positional[str]
    """A run's folder, a model's folder, or the name of a model (for example resaturation)."""
    pairs: str
    """Folder of pairs, as `coembed prepare` writes it."""
    split: Literal["train", "val"] = "val"
    """Which pairs to score on."""
    limit: int = 1000
    """Most pairs to score on, from the first."""
    duplicates: Literal["leave-out", "keep"] = "leave-out"
    """Pairs that are nearly the same as a training pair of the same folder: not scored, and counted; or
    scored."""
    samples: int = 100
    """Samples a photo."""
    seed: int = 0
    """Of every random draw."""
    clip: bool = True
    """Clip the samples of every sampler to the field's range before they are scored."""
    level: bool = True
    """Score fields as they are; otherwise less their means over the frame, as where edits keep the level."""
    baselines: bool = False
    """Score random fields, nearest neighbours and a linear-Gaussian too, fitted on the training pairs."""
    against: str | None = None
    """Another model, scored on the same photos with the same seed and compared photo by photo."""
    scores: Literal["basic", "full"] = "basic"
    """full adds variogram score, rank histograms, spectrum, precision and recall of pairs, novelty, and what
    sees the photo's content: segments, the same noise in other photos, changes in common, a two-sample test."""
    photos: Path | None = None
    """Folder of the photos that the pairs were made from: adds the leak test by intervention (see `coembed
    leak`)."""
    particles: int = 0
    """Bound the likelihood with this many particles, for every sampler that has a density; 0 leaves it out."""
    intervals: bool = False
    """Bootstrap 95% confidence intervals, and those of paired differences, in the JSON file and on screen."""
    json: str | None = None
    """File for all numbers, those of every photo included."""
    csv: str | None = None
    """File for every number of every sampler with its standard error, one row a sampler."""
    latex: str | None = None
    """File for the main table as LaTeX."""
    threads: int = 0
    """CPU threads; 0 leaves torch's own choice."""

    def __post_init__(self) -> None:
        check_at_least(self, limit=1, samples=1, threads=0, particles=0)


def run(config: EvaluateConfig) -> int:
    """Score the samplers; the exit status."""
    run_evaluate(config)
    return 0


def run_evaluate(config: EvaluateConfig) -> list[Evaluation]:
    """Score the model (first) and the simple samplers, print the table and write the JSON file.

    The training pairs are read for the simple samplers only.

    Raises:
        ModelError: no such model.
        DataError: no such pairs, or a single store where ``baselines`` needs a training split.
        ConfigError: a JSON file whose folder is missing, or more samples than there are nearest neighbours.
    """
    import torch

    from coembed.cli.output.progress import Progress
    from coembed.data.store.store import open_pairs
    from coembed.evaluation.evaluate import evaluate
    from coembed.evaluation.likelihood import has_density

    for option in ("json", "csv", "latex"):
        path = getattr(config, option)
        if path is not None and not Path(path).absolute().parent.is_dir():
            raise ConfigError(f"{option}: {path} lies in a folder that does not exist")
    if config.threads:
        torch.set_num_threads(config.threads)
    store = open_pairs(config.pairs, config.split)
    if config.baselines and (store.folder is None or store.folder == Path(config.pairs)):
        raise DataError(f"{config.pairs}: is one store; --baselines needs a folder that holds train/ and val/")
    layer = store.index.field
    clip = (layer.low, layer.high) if config.clip else None
    training = _training_pairs(config, store)
    pairs = _unseen_pairs(config, store)
    photos = _leak_photos(config, pairs)  # before the work, that a wrong folder costs nothing
    evaluations, densities, tested = [], [], []
    for name, sampler in _samplers(config):
        with Progress(name, min(config.limit, len(pairs)), unit="photos") as progress:
            found = evaluate(
                sampler,
                pairs,
                name=name,
                limit=config.limit,
                samples=config.samples,
                seed=config.seed,
                clip=clip,
                level=config.level,
                scores=config.scores,
                vector=getattr(layer, "vector", False),
                training=training,
                progress=progress.advance,
            )
        evaluations.append(found)
        if photos:
            tested.append((name, sampler))
        if config.particles and has_density(sampler):
            densities.append(_likelihood(sampler, name, store, pairs, config))
    comparisons = _comparisons(evaluations, config)
    found = evaluations, densities, comparisons
    _print(found, config)
    _write(found, {}, store, config)
    slopes = _slopes(config, store, tested, photos)
    if slopes:
        _write(found, slopes, store, config)
    return evaluations


def _leak_photos(config: EvaluateConfig, pairs: Pairs) -> list[Path]:
    """Photos that leaks are tested on, where their folder is given."""
    from coembed.cli.leak import photos_of

    return [] if config.photos is None else photos_of(list(pairs.names), config.photos, _SLOPE_PHOTOS)


def _slopes(
    config: EvaluateConfig, store: PairStore, samplers: list[tuple[str, Sampler]], photos: list[Path]
) -> dict[str, Slope]:
    """Slopes of every sampler on photos whose field was changed, printed; none without the photos."""
    from coembed.cli.leak import measure_slope
    from coembed.tasks import get_task, task_names

    if config.photos is None:
        if store.index.task in task_names() and not store.index.field.vector:
            print(
                "Leaks: not tested; --photos with the folder of these photos adds the slope (see coembed leak)."
            )
        return {}
    task = get_task(store.index.task)
    found = {}
    for name, sampler in samplers:
        found[name] = measure_slope(
            sampler, name, task, photos, size=(store.index.size[0], store.index.size[1]), seed=config.seed
        )
    print(
        f"Slope of draws on a field that was changed, {len(photos)} photos (0 is right, 1 reads the field off):"
    )
    for name, slope in found.items():
        print(f"  {name}: {slope}")
    return found


def _write(found: Scores, slopes: dict[str, Slope], store: PairStore, config: EvaluateConfig) -> None:
    """The files that are asked for."""
    from coembed.evaluation.tables import table_rows, write_csv, write_latex
    from coembed.serialization import to_dict, write_compact_json

    evaluations, densities, _ = found
    if config.json is not None:
        data = _json(found, store, config)
        if slopes:
            data["intervention_slopes"] = {name: to_dict(slope) for name, slope in slopes.items()}
        write_compact_json(config.json, data)
    if config.csv is not None:
        write_csv(config.csv, evaluations, densities)
    if config.latex is not None:
        write_latex(config.latex, table_rows(evaluations))


def _unseen_pairs(config: EvaluateConfig, store: PairStore) -> Pairs:
    """The pairs without copies of training pairs, which are counted on standard error."""
    from coembed.data.duplicates import near_duplicates
    from coembed.data.store.index import INDEX
    from coembed.data.store.store import open_pairs

    if config.duplicates == "keep" or config.split == "train":
        return store
    if store.folder in (None, Path(config.pairs)) or not (Path(config.pairs) / "train" / INDEX).is_file():
        return store
    copies = set(near_duplicates(store, open_pairs(config.pairs, "train"), vector=store.index.field.vector))
    if not copies:
        return store
    print(f"{len(copies)} of {len(store)} pairs are nearly training pairs: left out", file=sys.stderr)
    if len(copies) == len(store):
        raise DataError(f"{config.pairs}: every pair is nearly a training pair; expected others")
    return store[[i for i in range(len(store)) if i not in copies]]


def _training_pairs(config: EvaluateConfig, store: PairStore) -> PairStore | None:
    """The pairs that novelty is measured against, where the full scores are wanted and there are any."""
    from coembed.data.store.index import INDEX
    from coembed.data.store.store import open_pairs

    if config.scores != "full" or config.split == "train" or store.folder in (None, Path(config.pairs)):
        return None
    return open_pairs(config.pairs, "train") if (Path(config.pairs) / "train" / INDEX).is_file() else None


def _likelihood(
    sampler: Sampler, name: str, store: PairStore, pairs: Pairs, config: EvaluateConfig
) -> Likelihood:
    from coembed.cli.output.progress import Progress
    from coembed.evaluation.likelihood import likelihood

    layers = store.index.condition, store.index.field
    with Progress(f"{name}, likelihood", min(config.limit, len(pairs)), unit="photos") as progress:
        return likelihood(
            sampler,
            pairs,
            name=name,
            limit=config.limit,
            particles=config.particles,
            seed=config.seed,
            ranges=((layers[0].low, layers[0].high), (layers[1].low, layers[1].high)),
            progress=progress.advance,
        )


def _comparisons(evaluations: list[Evaluation], config: EvaluateConfig) -> list[tuple[str, Comparison]]:
    """The model against every other sampler, resampled, where intervals or a second model are asked for."""
    from coembed.evaluation.bootstrap import compare
    from coembed.evaluation.results import linearised

    if not config.intervals and config.against is None:
        return []
    model, found = evaluations[0], []
    for other in evaluations[1:]:
        shared = [m for m in _COMPARED if linearised(model, m) is not None and linearised(other, m) is not None]
        found += [(other.name, compare(model, other, metric)) for metric in shared]
    return found


def _json(found: Scores, store: PairStore, config: EvaluateConfig) -> dict[str, object]:
    from coembed.evaluation.bootstrap import interval
    from coembed.evaluation.results import linearised, summaries
    from coembed.models.registry import NEAREST
    from coembed.serialization import to_dict

    evaluations, densities, comparisons = found
    data: dict[str, object] = {
        "format": "coembed-evaluations",
        "version": 1,
        "task": store.index.task,
        "split": config.split,
        "samplers": summaries(evaluations, NEAREST if config.baselines else None),
    }
    if config.intervals:
        data["intervals"] = {
            e.name: {m: to_dict(interval(e, m)) for m in _COMPARED if linearised(e, m) is not None}
            for e in evaluations
        }
    if comparisons:
        model = evaluations[0].name
        data["comparisons"] = [{"one": model, "other": name, **to_dict(found)} for name, found in comparisons]
    if densities:
        data["likelihood"] = [
            {
                **{key: value for key, value in to_dict(d).items() if key not in ("names", "elbo", "bound")},
                "summary": {key: to_dict(value) for key, value in d.summary().items()},
                "elbo_per_photo": d.elbo,
                "bound_per_photo": d.bound,
            }
            for d in densities
        ]
    return data | {"photos": evaluations[0].names, "per_photo": {e.name: e.values for e in evaluations}}


def _samplers(config: EvaluateConfig) -> Iterator[tuple[str, Sampler]]:
    from coembed.data.store.store import open_pairs
    from coembed.models.pretrained import from_pretrained
    from coembed.models.registry import fit_simple

    name = Path(config.run).name or config.run
    yield name, from_pretrained(config.run)
    if config.against is not None:
        other = Path(config.against).name or config.against
        yield config.against if other == name else other, from_pretrained(config.against)
    if config.baselines:
        yield from fit_simple(open_pairs(config.pairs, "train"))


def _print(scores: Scores, config: EvaluateConfig) -> None:
    from rich.console import Console

    from coembed.evaluation.results import difference, ratio
    from coembed.evaluation.tables import content_table, likelihood_table, more_table, rich_table
    from coembed.models.registry import NEAREST

    evaluations, densities, comparisons = scores
    # A log has no width of its own; the table needs about this much.
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(rich_table(evaluations))
    more = more_table(evaluations)
    if more is not None:
        console.print(more)
    content = content_table(evaluations)
    if content is not None:
        console.print(content)
    if densities:
        console.print(likelihood_table(densities))
    model = evaluations[0]
    for name, found in comparisons:
        if found.metric not in _SHOWN:
            continue
        apart = found.difference
        wins = "" if found.wins is None else f"; lower on {100 * found.wins:.0f}% of photos"
        ends = f"95%: {apart.low:+.4g} to {apart.high:+.4g}"
        console.print(f"{model.name} less {name}, {found.metric}: {apart.value:+.4g} ({ends}){wins}")
    reference = next((e for e in evaluations if e.name == NEAREST), None)
    if not config.baselines or reference is None or model.samples < 2:
        return
    against, apart = ratio(model, reference, "energy"), difference(model, reference, "energy")
    error = "" if apart.error is None else f" ± {apart.error:.3f}"
    paired = f"energy score x {against.value:.3f} ({apart.value:+.3f}{error}, paired)"
    console.print(f"{model.name} against {NEAREST}: {paired}")
