"""Time, memory and faithfulness of the locality preserving projection, beside what else one would reach for.

Features like MS-COCO's: label (80), layout (5 x 5 x 80) and pixels (32 x 32 x 3), from real photos and their
boxes where --photos and --boxes are given, tiled with noise up to --rows; else from random shapes.

    python benchmarks/lpp.py --photos PAIRS/train --boxes instances_train2014.json --rows 80000 --threads 2

``--parts`` times the steps of the projection one by one instead, to see how each grows with the rows.
Writes ``results/lpp.json``, which keeps what earlier calls measured, and ``results/lpp.md``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).parent / "results" / "lpp.json"
CATEGORIES, GRID, SIDE = 80, 5, 32
METHODS = ("coembed", "pca", "kneighbors_graph", "spectral", "lpproj")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[5000])
    parser.add_argument("--photos", type=Path, help="a store of pairs, for pixels")
    parser.add_argument("--boxes", type=Path, help="an annotation file, for labels and layout")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--timeout", type=float, default=300, help="seconds per method may take")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--parts", action="store_true", help="time the projection's own steps")
    parser.add_argument("--one", choices=(*METHODS, "parts"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        features = make_features(options.rows[0], options.photos, options.boxes)
        print(json.dumps(parts(features) if options.one == "parts" else measure(options.one, features)))
        return
    from machine import describe

    results = json.loads(options.out.read_text()) if options.out.exists() else {"runs": {}}
    results["machine"] = describe()
    for rows in options.rows:
        for method in ["parts"] if options.parts else options.methods:
            found = in_process(method, rows, options)
            results["runs"][f"{method}/{rows}"] = found
            print(f"{rows:>7} rows  {method:<17}", ", ".join(f"{k} {v}" for k, v in found.items()), flush=True)
    options.out.write_text(json.dumps(results, indent=2) + "\n")
    options.out.with_suffix(".md").write_text(table(results["runs"]) + "\n")


def table(runs: dict[str, dict]) -> str:
    """Markdown: methods by rows, then the projection's steps by rows."""
    heads = (
        "seconds",
        "cpu_seconds",
        "threads",
        "features_mb",
        "peak_mb",
        "trustworthiness",
        "continuity",
        "collapse",
    )
    titles = ("s", "CPU s", "threads", "features, MB", "peak, MB", "trustworthiness", "continuity", "collapse")
    lines = ["| rows | method | " + " | ".join(titles) + " |", "|---:|---|" + "---:|" * len(titles)]
    by_rows = sorted(runs.items(), key=lambda item: (int(item[0].split("/")[1]), item[0]))
    for name, found in by_rows:
        method, rows = name.split("/")
        if method == "parts":
            continue
        cells = [str(found.get(h, "")) for h in heads]
        if "failed" in found:
            cells = [found["failed"], *[""] * (len(heads) - 1)]
        lines.append(f"| {int(rows):,} | {method} | " + " | ".join(cells) + " |")
    steps = {int(name.split("/")[1]): found for name, found in by_rows if name.startswith("parts/")}
    if steps:
        lines += ["", "CPU seconds of the steps, by rows:", ""]
        lines += ["| step | " + " | ".join(f"{n:,}" for n in steps) + " |", "|---|" + "---:|" * len(steps)]
        for step in ("gram", "eigenvectors", "projection", "neighbours", "graph_and_solution"):
            cells = (str(found.get(step, found.get("failed", ""))) for found in steps.values())
            lines.append(f"| {step.replace('_', ' ')} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def in_process(method: str, rows: int, options: argparse.Namespace) -> dict:
    """One method in a process of its own, so that its peak of memory is its own."""
    command = [sys.executable, __file__, "--one", method, "--rows", str(rows)]
    for name in ("photos", "boxes"):
        if getattr(options, name):
            command += [f"--{name}", str(getattr(options, name))]
    threads = dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(options.threads)
    )
    try:
        done = subprocess.run(
            command, env={**os.environ, **threads}, capture_output=True, text=True, timeout=options.timeout
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"not done after {options.timeout:.0f} s"}
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"killed by signal {-done.returncode}"]
        return {"failed": last[0][:160]}
    return {"threads": options.threads, **json.loads(done.stdout.splitlines()[-1])}


def measure(method: str, features: np.ndarray) -> dict:
    """Seconds (wall and of the processors), the rise of the memory's peak over the features, faithfulness."""
    before, wall, cpu = peak_mb(anew=True), time.perf_counter(), time.process_time()
    embedded = METHOD[method](features)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    found = {
        "seconds": round(wall, 1),
        "cpu_seconds": round(cpu, 1),
        "features_mb": round(features.nbytes / 1e6),
        "peak_mb": round(peak_mb()),
        "rise_mb": round(peak_mb() - before),
    }
    if embedded is not None:
        from neighborhoods import preservation

        rows = np.arange(len(features))[:: max(1, len(features) // 1500)]
        found |= {k: round(v, 4) for k, v in preservation(features[rows], embedded[rows], 15).items()}
    return found


def parts(features: np.ndarray) -> dict:
    """CPU seconds of each step of ``LocalityPreservingProjection.fit``, and of the projection of all rows."""
    from coembed.numerics.lpp import gram
    from coembed.numerics.lpp.graph import heat_graph
    from coembed.numerics.lpp.lpp import _project, _solve
    from coembed.numerics.lpp.neighbors import nearest_neighbors

    found: dict[str, float] = {}

    def timed(name, step, *arguments, **options):
        start = time.process_time()
        result = step(*arguments, **options)
        found[name] = round(found.get(name, 0.0) + time.process_time() - start, 2)
        return result

    solver = gram.eigsh
    gram.eigsh = lambda *a, **k: timed("eigenvectors", solver, *a, **k)
    mean = timed("gram", gram.column_means, features, 512)
    basis, variances, _ = timed("gram", gram.principal_components, features, mean, 256, 512)
    found["gram"] = round(found["gram"] - found["eigenvectors"], 2)  # which were found within
    points = timed("projection", _project, features, mean, basis.T, 512)
    near = timed("neighbours", nearest_neighbors, points, 15)
    graph, _ = timed("graph_and_solution", heat_graph, *near, "median")
    timed("graph_and_solution", _solve, points, graph, 1 / np.sqrt(variances), 32, 0.0, 512)
    return found


def _coembed(features: np.ndarray) -> np.ndarray:
    from coembed.numerics.lpp.lpp import LocalityPreservingProjection

    return LocalityPreservingProjection(32).fit(features).transform(features)


def _pca(features: np.ndarray) -> np.ndarray:
    from sklearn.decomposition import PCA

    return PCA(32, random_state=0).fit_transform(features)


def _graph(features: np.ndarray) -> None:
    from sklearn.neighbors import kneighbors_graph

    kneighbors_graph(features, 15, n_jobs=-1)


def _spectral(features: np.ndarray) -> np.ndarray:
    from sklearn.manifold import SpectralEmbedding

    return SpectralEmbedding(32, affinity="nearest_neighbors", n_neighbors=15, random_state=0).fit_transform(
        features
    )


def _lpproj(features: np.ndarray) -> np.ndarray:
    from lpproj import LocalityPreservingProjection

    return LocalityPreservingProjection(32, n_neighbors=15).fit_transform(features)


METHOD = dict(zip(METHODS, (_coembed, _pca, _graph, _spectral, _lpproj), strict=True))


def make_features(rows: int, photos: Path | None, boxes: Path | None) -> np.ndarray:
    """(rows, 5152) float32: real rows, repeated with noise where there are fewer; blocks of equal variance."""
    generator = np.random.default_rng(0)
    out = np.zeros((rows, CATEGORIES * (1 + GRID * GRID) + 3 * SIDE * SIDE), dtype=np.float32)
    scenes = _scenes(boxes)
    count = len(scenes)
    for i in range(rows):
        label, layout = scenes[i % count]
        # Photos differ in where things are and how much of them there is.
        share = label * generator.uniform(0.7, 1.3, CATEGORIES)
        out[i, :CATEGORIES] = share / max(share.sum(), 1e-6)
        shift = generator.integers(-1, 2, 2)
        moved = np.roll(layout.reshape(CATEGORIES, GRID, GRID), shift, (1, 2)) * generator.uniform(0.8, 1.0)
        out[i, CATEGORIES : CATEGORIES * (1 + GRID * GRID)] = moved.ravel()
    pixels = out[:, CATEGORIES * (1 + GRID * GRID) :]
    real = _pixels(photos, rows)
    for start in range(0, rows, 2048):
        part = slice(start, min(start + 2048, rows))
        chosen = real[np.arange(part.start, part.stop) % len(real)].astype(np.float32)
        pixels[part] = chosen + 0.05 * generator.standard_normal(chosen.shape, dtype=np.float32)
    edges = (0, CATEGORIES, CATEGORIES * (1 + GRID * GRID), out.shape[1])
    for weight, low, high in zip((2, 2, 1), edges, edges[1:], strict=False):
        sample = out[:: max(1, rows // 5000), low:high]
        out[:, low:high] *= weight / np.sqrt(sample.var(0).sum())
    return out


def _scenes(boxes: Path | None) -> list[tuple[np.ndarray, np.ndarray]]:
    if boxes is None:
        generator = np.random.default_rng(1)
        found = []
        for _ in range(500):
            label = np.zeros(CATEGORIES)
            layout = np.zeros((CATEGORIES, GRID, GRID))
            for c in generator.choice(CATEGORIES, generator.integers(1, 6), replace=False):
                label[c] = generator.random()
                top, left = generator.integers(0, GRID, 2)
                layout[c, top : top + 3, left : left + 2] = generator.random()
            found.append((label, layout.ravel()))
        return found
    from coembed.data.similarity.annotations import read_annotations
    from coembed.data.similarity.features import annotation_blocks

    annotations = read_annotations(boxes)
    if len(annotations.categories) != CATEGORIES:
        raise SystemExit(f"{boxes}: has {len(annotations.categories)} categories, expected {CATEGORIES}")
    blocks = annotation_blocks(annotations, list(annotations.photos))
    label, layout = (
        b.values if isinstance(b.values, np.ndarray) else b.values.toarray() for b in blocks.values()
    )
    return list(zip(label, layout, strict=True))


def _pixels(photos: Path | None, rows: int) -> np.ndarray:
    if photos is None:
        coarse = np.random.default_rng(2).random((min(rows, 4000), 3, 4, 4), dtype=np.float32)
        return coarse.repeat(8, 2).repeat(8, 3).reshape(len(coarse), -1)
    from coembed.data.store.store import PairStore

    store = PairStore.open(photos)
    condition = store.condition(slice(0, rows)).numpy()
    field = store.field(slice(0, rows)).numpy()
    maps = np.concatenate([condition, field], 1)
    maps = np.concatenate([maps] * 3, 1)[:, :3]
    return maps.reshape(len(maps), -1).astype(np.float16)


def peak_mb(*, anew: bool = False) -> float:
    """The most memory this process has held, since the last call with ``anew`` where the system can forget."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if anew:
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(lines["VmHWM"].split()[0]) / 1024


if __name__ == "__main__":
    main()
