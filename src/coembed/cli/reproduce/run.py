"""``coembed reproduce``: the work, then tables, figures and the page."""

from __future__ import annotations

import functools
import platform
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from coembed import __version__
from coembed.cli.reproduce import overview, plots, samples, tables
from coembed.cli.reproduce.layers import layer_plot
from coembed.cli.reproduce.models import Corpus, open_corpora
from coembed.cli.reproduce.options import METHODS, REFERENCE, ReproduceConfig
from coembed.cli.reproduce.orderings import orderings
from coembed.cli.reproduce.page import Picture, Section, write_page
from coembed.cli.reproduce.work import Found, work_through
from coembed.errors import ConfigError
from coembed.evaluation.results import summaries
from coembed.evaluation.tables import write_latex
from coembed.serialization import to_dict, write_bytes, write_json

PAGE = "index.html"


def run(config: ReproduceConfig) -> int:
    """Make the tables and figures; the exit status."""
    run_reproduce(config)
    return 0


def run_reproduce(config: ReproduceConfig) -> Path:
    """Train what is missing, evaluate, and write the report.

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
    facts = [
        ("CoEmbed", __version__),
        ("commit", commit()),
        ("budget", f"{config.budget}, {config.work().minutes:.3g} min of training a learned model"),
        ("seed", str(config.seed)),
        ("samples per photo", str(config.samples)),
        ("torch", torch.__version__),
        ("machine", f"{platform.machine()}, {torch.get_num_threads()} threads"),
    ]
    sections, numbers, parts = [], [], {}
    for corpus, found in work_through(config, corpora):
        sections.append(write_section(config, corpus, found))
        numbers.append(_numbers(corpus, found))
        parts[corpus.name] = corpus, found
        # After every folder: a long report can be read while it is made.
        shown = [_overview(config, parts), *sections] if len(corpora) > 1 else sections
        write_page(out / PAGE, "How good are samples of an ambiguous field?", facts, shown)
        write_json(out / "report.json", _data(config, numbers, facts))
    print(out / PAGE)
    return out / PAGE


def write_section(config: ReproduceConfig, corpus: Corpus, found: Sequence[Found]) -> Section:
    """Write the tables and figures of one folder of pairs and give its section of the page."""
    out = Path(config.out)
    made = [
        tables.errors(corpus.task, found),
        tables.ratios(corpus.task, found),
        tables.proper(found),
        tables.further(found),
        tables.likelihoods(corpus.task, found),
    ]
    for further in (tables.content(found), orderings(corpus.task, found)):
        if further is not None:
            made.append(further)
    _write_tables(out / "tables" / corpus.name, made)
    pictures = list(_pictures(config, corpus, found))
    _write_pictures(out / "figures" / corpus.name, pictures)
    index = corpus.train.index
    lead = (
        f"{index.condition.name} → {index.field.name}, task {corpus.task}, {index.size[0]} × {index.size[1]}; "
        f"{len(corpus.train):,d} training pairs, scored on {found[0].evaluation.conditions:,d} of "
        f"{len(corpus.val):,d} held-out ones."
    )
    return Section(corpus.name, lead, [*made[:2], pictures[0], *made[2:], *pictures[1:]])


def _overview(config: ReproduceConfig, parts: overview.Sections) -> Section:
    out = Path(config.out)
    table = overview.overview_table(parts)
    _write_tables(out / "tables", [table])
    names = ", ".join(f"{name} ({corpus.digest[:8]})" for name, (corpus, _) in parts.items())
    data = overview.overview_figure(parts, f"all methods · data {names} · seed {config.seed} · {source()}")
    pictures = []
    if data is not None:
        title = "Error against variance (the paper's figure 4)"
        caption = (
            "Filled: here. Hollow: the paper's, each joined to ours. Down is better; right is more varied."
        )
        pictures.append(Picture("overview", title, caption, data))
    _write_pictures(out / "figures", pictures)
    return Section("overview", "Every folder of pairs beside the paper's own ratios.", [table, *pictures])


def _write_tables(folder: Path, made: Sequence[tables.Table]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for table in made:
        tables.write_csv(folder / f"{table.name}.csv", table)
        write_latex(folder / f"{table.name}.tex", table.rows)
        tables.write_markdown(folder / f"{table.name}.md", table)


def _write_pictures(folder: Path, pictures: Sequence[Picture]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for picture in pictures:
        write_bytes(folder / f"{picture.name}.png", picture.data)


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


def source() -> str:
    """Maker of a figure: the commit, or the version where the package lies in no repository of its own."""
    return f"CoEmbed {__version__}" if commit() == "none" else f"CoEmbed {__version__}, commit {commit()}"


def _pictures(config: ReproduceConfig, corpus: Corpus, found: Sequence[Found]) -> Iterator[Picture]:
    task = corpus.task
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
        "Bars are two standard errors over photos. For neighbours: the best of n among the 100 nearest.",
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
    held = layer_plot(found, corpus, config.seed, several)
    if held is not None:
        yield Picture(
            "layers",
            "What each layer of codes holds, in numbers",
            "Left: nats by which a field's code differs from the prior of the field's own ladder. Middle: "
            "variance of draws in which that layer alone is random, over that of all. Right: the size of what "
            "it moves. Grey: what still varies when no layer is random, a mixture's choice of a component.",
            held,
        )
    if config.photos:
        yield from _pictures_of_photos(config, corpus, found)


def _pictures_of_photos(config: ReproduceConfig, corpus: Corpus, found: Sequence[Found]) -> Iterator[Picture]:
    task, several = corpus.task, _note(config, corpus, "all methods")
    gallery = samples.Gallery(corpus, config.photos, config.originals, config.seed)
    how = _how(gallery)
    beside = [one for one in found if METHODS[one.method].shown]
    yield Picture(
        "methods",
        "Methods side by side (the paper's figure 5)",
        f"The first two draws of every method for four photos, unselected. {how}".strip(),
        samples.side_by_side(gallery, beside, several),
    )
    best = next((one for one in found if one.method == "default"), found[-1])
    theirs = next((one for one in found if one.method == _PAPERS_CHOICE.get(task)), None)
    for one in [best] if theirs is None or theirs is best else [best, theirs]:
        label = METHODS[one.method].label
        yield Picture(
            f"samples_{one.method}",
            f"Four samples per photo: {label} (the paper's figures 6-8 and 9-16)",
            f"Medoids of {config.samples} draws clustered in four, most common kind first; photos evenly "
            f"spread over the held-out ones, unselected. {how}".strip(),
            samples.four_samples(gallery, one, config.samples, _note(config, corpus, label)),
        )
    for one in found:
        if one.method not in (best.method, "paper-gauss"):
            continue
        label = METHODS[one.method].label
        data = samples.layers(gallery, one, _note(config, corpus, label))
        if data is not None:
            yield Picture(
                f"layers_{one.method}",
                f"What each layer of codes holds: {label}",
                "Draws in which one layer is random and the others stay at their most likely value (a mixture "
                "still picks its component); the deviation of 32 such draws is bright where the layer decides.",
                data,
            )


_PAPERS_CHOICE = {"relighting": "paper-mdn4", "resaturation": "paper-mdn12", "motion": "paper-gauss"}
"""The models of the paper's figures 6-8."""
_HOW = {
    "resaturation": "Pairs hold no hue: every hue is drawn as one orange, with the photo's value "
    "(--originals shows the photos themselves).",
    "relighting": "The albedo under the shading, at the size of the pairs.",
    "motion": "Arrows are clusters of motion, as far as things go within the second.",
}


def _how(gallery: samples.Gallery) -> str:
    if gallery.photos:
        return "The photos themselves, edited by the change of their field (eq. 10)."
    return _HOW.get(gallery.corpus.task.split(":")[0], "")


def _note(config: ReproduceConfig, corpus: Corpus, model: str) -> str:
    return f"{model} · data {corpus.name} ({corpus.digest[:8]}) · seed {config.seed} · {source()}"


def _numbers(corpus: Corpus, found: Sequence[Found]) -> dict[str, object]:
    """Every number of a section as JSON values."""
    methods = summaries([one.evaluation for one in found], METHODS[REFERENCE].label)
    for entry, one in zip(methods, found, strict=True):
        entry["preset"], entry["training_seconds"] = one.method, one.model.seconds
        entry["images"] = one.model.images
        entry["milliseconds_a_sample"] = one.milliseconds
        for name in ("sampling_seconds", "scoring_seconds"):  # of the clock, whatever else was running
            del entry[name]
        entry["model"] = one.config
        for name, density in (("joint", one.joint), ("conditional", one.conditional)):
            if density is not None:
                entry[f"likelihood_{name}"] = {k: to_dict(v) for k, v in density.summary().items()}
    return {"pairs": corpus.name, "digest": corpus.digest, "task": corpus.task, "methods": methods}


def _data(
    config: ReproduceConfig, sections: Sequence[dict[str, object]], facts: Sequence[tuple[str, str]]
) -> dict[str, object]:
    places = ("pairs", "out", "runs", "originals")
    return {
        "format": "coembed-report",
        "version": 1,
        "options": {name: value for name, value in to_dict(config).items() if name not in places},
        "facts": dict(facts),
        "sections": list(sections),
    }
