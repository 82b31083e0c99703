"""``coembed reproduce``: the work, then tables, figures and the page."""

from __future__ import annotations

import functools
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path

import torch

from coembed import __version__
from coembed.config import to_dict, write_bytes, write_json
from coembed.errors import ConfigError
from coembed.evaluation.export import write_latex
from coembed.evaluation.report import summaries
from coembed.report import plots, samples, tables
from coembed.report.options import METHODS, REFERENCE, ReproduceConfig
from coembed.report.page import Picture, Section, write_page
from coembed.report.work import Corpus, Found, open_corpora, work_through
from coembed.training.record import read_record

PAGE = "index.html"


def run_reproduce(config: ReproduceConfig) -> Path:
    """Trains what is missing, evaluates, and writes the report.

    Returns:
        The page, OUT/index.html.

    Raises:
        ConfigError: no matplotlib, or a folder that cannot be written.
        DataError: pairs that are missing, or without a validation split.
        TrainingError: a run that cannot be started or resumed.
    """
    plots.need_matplotlib()
    if config.threads:
        torch.set_num_threads(config.threads)
    corpora = open_corpora(config)
    out = Path(config.out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"out: {out} cannot be made ({error.strerror or error})") from None
    found = work_through(config, corpora)
    sections = [write_section(config, corpus, found[corpus.name]) for corpus in corpora]
    facts = [
        ("CoEmbed", __version__),
        ("commit", commit()),
        ("budget", f"{config.budget}, {config.work().minutes:.3g} min of training a learned model"),
        ("seed", str(config.seed)),
        ("samples a photo", str(config.samples)),
        ("torch", torch.__version__),
        ("machine", f"{platform.machine()}, {torch.get_num_threads()} threads"),
    ]
    write_page(out / PAGE, "How good are samples of an ambiguous field?", facts, sections)
    write_json(out / "report.json", _numbers(config, corpora, found, facts))
    print(out / PAGE)
    return out / PAGE


def write_section(config: ReproduceConfig, corpus: Corpus, found: Sequence[Found]) -> Section:
    """Writes the tables and figures of one folder of pairs and gives its section of the page."""
    out = Path(config.out)
    made = [
        tables.errors(corpus.task, found),
        tables.ratios(corpus.task, found),
        tables.proper(found),
        tables.likelihoods(corpus.task, found),
    ]
    folder = out / "tables" / corpus.name
    folder.mkdir(parents=True, exist_ok=True)
    for table in made:
        tables.write_csv(folder / f"{table.name}.csv", table)
        write_latex(folder / f"{table.name}.tex", table.rows)
    pictures = list(_pictures(config, corpus, found))
    folder = out / "figures" / corpus.name
    folder.mkdir(parents=True, exist_ok=True)
    for picture in pictures:
        write_bytes(folder / f"{picture.name}.png", picture.data)
    index = corpus.train.index
    lead = (
        f"{index.condition.name} → {index.field.name}, task {corpus.task}, {index.size[0]} × {index.size[1]}; "
        f"{len(corpus.train):,d} training pairs, scored on {found[0].evaluation.conditions:,d} of "
        f"{len(corpus.val):,d} held-out ones."
    )
    return Section(corpus.name, lead, [*made[:2], pictures[0], *made[2:], *pictures[1:]])


@functools.cache
def commit() -> str:
    """The commit of the source in use, with a + if it has been changed since; "none" outside a repository."""
    here = Path(__file__).parent
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"],
            cwd=here,
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
        ignored = subprocess.run(
            ["git", "check-ignore", "-q", str(here)], cwd=here, capture_output=True, timeout=20, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return "none"
    # An installed package may lie, ignored, inside somebody else's repository.
    return found.stdout.strip() if ignored.returncode else "none"


def _pictures(config: ReproduceConfig, corpus: Corpus, found: Sequence[Found]):
    task, seed = corpus.task, config.seed
    best = next((one for one in found if one.method == "default"), found[-1])
    several = _note(config, corpus, "all methods")
    yield Picture(
        "error_variance",
        "Error against variance (the paper's figure 4)",
        "Down and to the right is better in the paper's eyes: a low error of the best, and samples that vary.",
        plots.error_against_variance(task, found, several),
    )
    yield Picture(
        "best_of_n",
        "Error of the best of n samples",
        "Bars are two standard errors over photos. Neighbours come nearest first: not exchangeable.",
        plots.best_of_n(found, several),
    )
    yield Picture(
        "calibration",
        "Calibration",
        "Coverage below the dotted line and spread below 1: samples vary less than the truth does.",
        plots.calibration(found, several),
    )
    ranks = plots.rank_histograms(found, several)
    if ranks is not None:
        yield Picture(
            "ranks",
            "Where the truth ranks among the samples",
            "Flat is calibrated, a bowl is too narrow, a hill too wide, a slope is biased.",
            ranks,
        )
    yield Picture(
        "methods",
        "Methods side by side (the paper's figure 5)",
        f"The first two draws of every method, unselected. {_HOW.get(task.split(':')[0], '')}".strip(),
        samples.side_by_side(corpus, found, config.photos, seed, several),
    )
    note = _note(config, corpus, METHODS[best.method].label)
    yield Picture(
        "samples",
        "Four samples a photo (the paper's figures 6-8 and 9-16)",
        f"Medoids of {config.samples} draws clustered in four, most common kind first; photos evenly spread "
        f"over the held-out ones, unselected. {_HOW.get(task.split(':')[0], '')}".strip(),
        samples.four_samples(corpus, best, config.photos, config.samples, seed, note),
    )
    for one in found:
        label = METHODS[one.method].label
        if one.method not in (best.method, "paper-gauss"):
            continue
        data = samples.layers(corpus, one, seed, _note(config, corpus, label))
        if data is not None:
            yield Picture(
                f"layers_{one.method}",
                f"What each layer of codes holds: {label}",
                "Draws in which one layer is random and the others stay at their most likely value (a mixture "
                "still picks its component); the deviation of 32 such draws is bright where the layer decides.",
                data,
            )


_HOW = {
    "resaturation": "Pairs hold no hue: every hue is drawn as one orange, with the photo's value.",
    "relighting": "The albedo under the shading.",
    "motion": "Arrows are clusters of motion, as far as things go within the second.",
}


def _note(config: ReproduceConfig, corpus: Corpus, model: str) -> str:
    return f"{model} · data {corpus.name} ({corpus.digest[:8]}) · seed {config.seed} · commit {commit()}"


def _numbers(
    config: ReproduceConfig,
    corpora: Sequence[Corpus],
    found: dict[str, list[Found]],
    facts: Sequence[tuple[str, str]],
) -> dict[str, object]:
    sections = []
    for corpus in corpora:
        here = found[corpus.name]
        reference = METHODS[REFERENCE].label
        methods = summaries([one.evaluation for one in here], reference)
        for entry, one in zip(methods, here, strict=True):
            entry["preset"], entry["training_seconds"] = one.method, one.seconds
            entry["images"] = one.images
            entry["model"] = read_record(one.run)["model"]
            for name, density in (("joint", one.joint), ("conditional", one.conditional)):
                if density is not None:
                    entry[f"likelihood_{name}"] = {k: to_dict(v) for k, v in density.summary().items()}
        sections.append(
            {"pairs": corpus.name, "digest": corpus.digest, "task": corpus.task, "methods": methods}
        )
    options = {name: value for name, value in to_dict(config).items() if name not in ("pairs", "out", "runs")}
    return {
        "format": "coembed-report",
        "version": 1,
        "options": options,
        "facts": dict(facts),
        "sections": sections,
    }
