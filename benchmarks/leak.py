"""Leaks of photo sets: do conditions tell the fields by how photos were stored?

    python benchmarks/leak.py --large DIR --coco DIR --thumbnails DIR [--model TASK:NAME=FOLDER ...]

The first two hold clean photos in the MS-COCO layout, the third thumbnails (64 pixels, JPEG). Three tables per
task, in ``results/leak.json`` and ``.md``:

* *probe*: the tiny network trained on clean photos and on thumbnails, its R2 on each set as it is, reduced to
  64 px, and reduced and compressed as thumbnails are (JPEG 90, 4:2:0): the gain by compression is the leak;
* *intervention*: slopes of models and simple samplers on a field that was changed, for photos as they are,
after
  JPEG 90 at their own size, and after reduction to 64 px and JPEG;
* *how large is clean*: the gain by compression of photos reduced to several sizes, with and without halved
chroma,
  at two qualities, by probes trained on photos so stored: what the thresholds of ``coembed prepare`` are read
  from.

What is done is kept in ``--cache``: an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

import torch
from machine import describe

from coembed.cli.output.progress import Progress
from coembed.data.pairs import TensorPairs
from coembed.errors import CoEmbedError
from coembed.evaluation.leak.intervention import intervention_slope
from coembed.evaluation.leak.layers import photo_pairs
from coembed.evaluation.leak.probe import Probe
from coembed.imaging.recompress import Recompression
from coembed.models.pretrained import from_pretrained
from coembed.models.registry import SIMPLE, fit_closed_form
from coembed.serialization import read_json, write_json
from coembed.tasks import get_task

RESULTS = Path(__file__).parent / "results"
TASKS = ("resaturation", "relighting")
CELLS = (32, 32)
AS_STORED, THUMBNAIL, RESAVED = Recompression(), Recompression(64, 90), Recompression(None, 90)
REDUCED = Recompression(64)
SIDES = (48, 64, 96, 128, 192)
WAYS: tuple[tuple[Literal["4:2:0", "4:4:4"], int], ...] = (
    ("4:2:0", 75),
    ("4:2:0", 90),
    ("4:4:4", 75),
    ("4:4:4", 90),
)
SWEPT, SWEEP_PAIRS, SWEEP_STEPS = "resaturation", 3_000, 600  # the task that leaks most
SIMPLE_SHOWN = ("nearest neighbours", "linear-Gaussian")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", type=Path, required=True)
    parser.add_argument("--coco", type=Path, required=True)
    parser.add_argument("--thumbnails", type=Path, required=True)
    parser.add_argument("--model", action="append", default=[], metavar="TASK:NAME=FOLDER")
    parser.add_argument("--photos", type=int, default=200, help="that slopes are measured on")
    parser.add_argument("--cache", type=Path, default=Path("out/leak"))
    parser.add_argument("--table", action="store_true", help="only write the tables of what is there")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.cache.mkdir(parents=True, exist_ok=True)
    files = {
        "clean": (jpegs(options.large / "train2014"), jpegs(options.large / "val2014")),
        "coco": ([], [*jpegs(options.coco / "train2014"), *jpegs(options.coco / "val2014")]),
        "thumbnails": (jpegs(options.thumbnails / "train2014"), jpegs(options.thumbnails / "val2014")),
    }
    bench = Bench(options, files)
    if not options.table:
        for task in TASKS:
            for part in (bench.probes, bench.slopes, *([bench.sweep] if task == SWEPT else [])):
                part(task)
                bench.write()
    bench.write()
    print(RESULTS / "leak.md")


def jpegs(folder: Path) -> list[Path]:
    """The photos of a folder, in order."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg"))


class Telling:
    """A probe as a sampler, whose draws are all its prediction: what it reads must show in its slope.

    Args:
        probe: trained.
    """

    def __init__(self, probe: Probe):
        self.probe = probe

    def sample(self, condition: torch.Tensor, n: int, *, generator: object) -> torch.Tensor:
        """The prediction, n times."""
        return self.probe(condition).expand(n, -1, -1, -1, -1)


class Bench:
    """The three tables, number by number, each kept as soon as it is known.

    Args:
        options: of the command line.
        files: training and test photos of every set.
    """

    def __init__(self, options: argparse.Namespace, files: dict[str, tuple[list[Path], list[Path]]]):
        self.options, self.files = options, files
        self.path = options.cache / "numbers.json"
        self.numbers: dict[str, Any] = read_json(self.path) if self.path.exists() else {}  # type: ignore[assignment]

    def known(self, key: str, make: Callable[[], Any]) -> Any:
        """A number that is there, or is made and kept."""
        if key not in self.numbers:
            self.numbers[key] = make()
            write_json(self.path, self.numbers)
        return self.numbers[key]

    def pairs(self, task: str, photos: Iterable[Path], how: Recompression, label: str) -> TensorPairs:
        """Pairs of photos after a recompression, kept in memory until the end."""
        photos = list(photos)
        with Progress(f"{task}, {label}", len(photos), unit="photos") as progress:
            counted = (progress.advance(1) or photo for photo in photos)
            return photo_pairs(counted, get_task(task), CELLS, how)

    def probes(self, task: str) -> None:
        """R2 and gains of the probes trained on clean photos and on thumbnails."""
        wanted = [
            f"probe/{task}/{trained}/{judged}"
            for trained in ("clean", "thumbnails")
            for judged in (*JUDGED, *CROSSED)
        ]
        if all(key in self.numbers for key in wanted):
            return
        judged = {}
        for name, (source, how) in JUDGED.items():
            photos = self.files[source][1]
            judged[name] = self.pairs(task, photos[:: max(1, len(photos) // 1200)], how, name)
        for name, (there, here) in CROSSED.items():  # the condition is compressed, the field is as it was
            judged[name] = TensorPairs(
                judged[there].condition(slice(None)), judged[here].field(slice(None)), judged[here].names
            )
        for trained in ("clean", "thumbnails"):
            probe = self.probe(task, trained)
            explained = {name: probe.explain(pairs) for name, pairs in judged.items()}
            for name, found in explained.items():
                plain = explained.get(name.split(" and JPEG")[0]) if " and JPEG" in name else None
                self.known(
                    f"probe/{task}/{trained}/{name}",
                    lambda found=found, plain=plain: {
                        "r2": [found.r2.value, found.r2.error],
                        "gain": None if plain is None else [found.gain(plain).value, found.gain(plain).error],
                    },
                )

    def probe(self, task: str, trained: str) -> Probe:
        """The tiny network trained on a set's photos as they are."""
        photos = self.files[trained][0]
        photos = photos[:: max(1, len(photos) // 10_000)][:10_000]
        return Probe.fit(self.pairs(task, photos, AS_STORED, f"training on {trained}"))

    def slopes(self, task: str) -> None:
        """Slopes of every sampler, set and way to store."""
        samplers: dict[str, Callable[[], Any]] = {}
        for named in self.options.model:
            place, folder = named.split("=", 1)
            if place.startswith(f"{task}:"):
                samplers[place.split(":", 1)[1]] = lambda folder=folder: from_pretrained(folder)
        for trained in ("clean", "thumbnails"):
            for name in SIMPLE_SHOWN:
                samplers[f"{name}, of {trained}"] = lambda n=name, t=trained: self.simple(task, n, t)
            samplers[f"the probe, of {trained}"] = lambda t=trained: Telling(self.probe(task, t))
        for name, build in samplers.items():
            sampler = None
            for source in ("clean", "coco", "thumbnails"):
                for how in (AS_STORED, RESAVED, THUMBNAIL):
                    if source == "thumbnails" and how is THUMBNAIL:
                        continue
                    key = f"slope/{task}/{name}/{source}/{how}"
                    if key not in self.numbers:
                        sampler = sampler or build()
                        self.known(key, lambda s=sampler, p=source, h=how, k=key: self.slope(task, s, p, h, k))

    def simple(self, task: str, name: str, trained: str) -> Any:
        """A simple sampler fitted on a set's training photos."""
        preset, settings = SIMPLE[name]
        photos = self.files[trained][0]
        photos = photos[:: max(1, len(photos) // 5_404)]
        return fit_closed_form(preset, self.pairs(task, photos, AS_STORED, f"{name} of {trained}"), **settings)

    def slope(self, task: str, sampler: Any, source: str, how: Recompression, key: str) -> list[float]:
        """One slope and its standard error."""
        photos = self.files[source][1]
        photos = photos[:: max(1, len(photos) // self.options.photos)][: self.options.photos]
        with Progress(key, len(photos), unit="photos") as progress:
            found = intervention_slope(
                sampler, get_task(task), photos, CELLS, recompression=how, progress=progress.advance
            )
        return [found.slope, found.error]

    def sweep(self, task: str) -> None:
        """Gains of probes trained on photos reduced to a size, by size, chroma and quality."""
        photos, tests = self.files["clean"][0], self.files["coco"][1] + self.files["clean"][1][::4]
        for side in SIDES:
            ways = [Recompression(side, quality, chroma) for chroma, quality in WAYS]
            ways = [how for how in ways if f"sweep/{task}/{how}" not in self.numbers]
            if not ways:
                continue
            plain = self.pairs(task, tests, Recompression(side), f"{side} px")
            for how in ways:
                probe = Probe.fit(self.pairs(task, photos[:SWEEP_PAIRS], how, str(how)), steps=SWEEP_STEPS)
                gain = probe.explain(self.pairs(task, tests, how, "tests")).gain(probe.explain(plain))
                self.known(f"sweep/{task}/{how}", lambda gain=gain: [gain.value, gain.error])

    def write(self) -> None:
        """JSON and Markdown of what is known."""
        write_json(RESULTS / "leak.json", {"format": "coembed-leak", "version": 1, "numbers": self.numbers})
        text = ["# Leaks of photo sets\n", TOLD]
        for task in TASKS:
            text += [f"## {task}\n", *self.probe_table(task), *self.slope_table(task)]
            text += self.sweep_table(task) if task == SWEPT else []
        machine = describe()
        text.append(f"Measured on {machine['cpu']}, one thread, torch {machine['torch']}.\n")
        (RESULTS / "leak.md").write_text("\n".join(text), encoding="utf-8")

    def probe_table(self, task: str) -> list[str]:
        """R2 of every set, and the gain."""
        rows = ["| R2 of a probe on | trained on clean photos | gain | trained on thumbnails | gain |"]
        rows.append("|---|---:|---:|---:|---:|")
        for name in (*JUDGED, *CROSSED):
            cells = []
            for trained in ("clean", "thumbnails"):
                found = self.numbers.get(f"probe/{task}/{trained}/{name}")
                cells += ["", ""] if found is None else [pm(found["r2"]), pm(found["gain"])]
            rows.append(f"| {name} | " + " | ".join(cells) + " |")
        return ["\n".join(rows) + "\n"]

    def slope_table(self, task: str) -> list[str]:
        """Slopes, a row per sampler."""
        head = [f"slope/{task}/"]
        names = list(dict.fromkeys(key.split("/")[2] for key in self.numbers if key.startswith(head[0])))
        columns = [(s, h) for s in ("clean", "coco", "thumbnails") for h in (AS_STORED, RESAVED, THUMBNAIL)]
        columns = [(s, h) for s, h in columns if s != "thumbnails" or h is not THUMBNAIL]
        rows = ["| slope of | " + " | ".join(f"{s}, {h}" for s, h in columns) + " |"]
        rows.append("|---|" + "---:|" * len(columns))
        for name in names:
            cells = [pm(self.numbers.get(f"slope/{task}/{name}/{s}/{h}")) for s, h in columns]
            rows.append(f"| {name} | " + " | ".join(cells) + " |")
        return ["\n".join(rows) + "\n"]

    def sweep_table(self, task: str) -> list[str]:
        """Gains by size, a column per chroma and quality."""
        rows = ["| gain of R2 at | " + " | ".join(f"JPEG {q} {c}" for c, q in WAYS) + " |"]
        rows.append("|---|" + "---:|" * len(WAYS))
        for side in SIDES:
            cells = [pm(self.numbers.get(f"sweep/{task}/{Recompression(side, q, c)}")) for c, q in WAYS]
            rows.append(f"| {side} px | " + " | ".join(cells) + " |")
        return ["\n".join(rows) + "\n"]


JUDGED = {
    "clean photos": ("clean", AS_STORED),
    "clean photos, 64 px": ("clean", REDUCED),
    "clean photos, 64 px and JPEG": ("clean", THUMBNAIL),
    "COCO photos": ("coco", AS_STORED),
    "COCO photos, 64 px": ("coco", REDUCED),
    "COCO photos, 64 px and JPEG": ("coco", THUMBNAIL),
    "thumbnails": ("thumbnails", AS_STORED),
}
CROSSED = {
    f"{kind} photos, 64 px and JPEG of the condition alone": (
        f"{kind} photos, 64 px and JPEG",
        f"{kind} photos, 64 px",
    )
    for kind in ("clean", "COCO")
}
TOLD = """\
Shares of a field explained within photos by a tiny network, and slopes of draws on a field that was changed and
nothing else; docs/evaluation.md explains both. ± is one standard error over photos. Conditions and fields of 32
x 32 cells.
"""


def pm(found: list[float | None] | None) -> str:
    """A number and its error; nothing where there is none."""
    if found is None or found[0] is None:
        return ""
    return f"{found[0]:+.3f}" + ("" if found[1] is None else f" ± {found[1]:.3f}")


if __name__ == "__main__":
    try:
        main()
    except CoEmbedError as error:
        sys.exit(f"leak: {error}")
