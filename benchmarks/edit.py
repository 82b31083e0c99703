"""The main job on a 12-megapixel JPEG, four versions: from a cold shell, once loaded, and peak memory.

Run as ``python benchmarks/edit.py``; writes ``benchmarks/results/edit.json``, or with ``--verb relight``
``edit-relight.json``. The photo is a bundled one, enlarged to 4000 x 3000 and with noise like a sensor's, so
that no step finds an easier photo than a camera's.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import describe

HERE = Path(__file__).parent
RESULTS = HERE / "results"
WARM_RUNS, COLD_RUNS = 5, 3
TARGETS = {"cold_seconds": 6.0, "warm_seconds": 1.0, "peak_rss_gb": 1.5}

# Runs in a fresh process: warm times of the command's work (files written) and of the call from Python.
_WARM = """
import json, resource, sys, time
from pathlib import Path
import coembed
from coembed.cli.edit import RelightConfig, ResaturateConfig, run_batch
from coembed.editing.loading import load_model
photo, out, model, runs = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
times = {"files": [], "python": []}
config = {"resaturate": ResaturateConfig, "relight": RelightConfig}[sys.argv[5]]
edit = getattr(coembed, sys.argv[5])
loaded = load_model(model, config.of_task)
import coembed.editing.loading
coembed.editing.loading.load_model = lambda *_: loaded
for run in range(runs + 1):
    start = time.perf_counter()
    run_batch(config(photos=(photo,), model=model, out=out))
    files = time.perf_counter() - start
    start = time.perf_counter()
    edit(photo, n=4, model=loaded[0])
    python = time.perf_counter() - start
    if run:
        times["files"].append(files)
        times["python"].append(python)
print("RESULT" + json.dumps(times))
"""


def make_photo(path: Path, width: int = 4000, height: int = 3000) -> None:
    import cv2
    import numpy as np

    source = HERE.parent / "examples" / "coast.jpg"
    large = cv2.resize(cv2.imread(str(source)), (width, height), interpolation=cv2.INTER_CUBIC).astype(
        np.float32
    )
    large += np.random.default_rng(0).normal(0, 3, large.shape).astype(np.float32)
    cv2.imwrite(str(path), np.clip(large, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 92])


def measured(command: list[str]) -> tuple[float, float, str]:
    """Wall seconds, peak resident GB (of this process alone) and output of a command."""
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        output.seek(0)
        if status:
            raise SystemExit(f"{command[0]} failed with status {os.waitstatus_to_exitcode(status)}")
        return seconds, usage.ru_maxrss * 1024 / 1e9, output.read()


def quartiles(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    middle = ordered[len(ordered) // 2]
    return {"median": round(middle, 3), "min": round(ordered[0], 3), "max": round(ordered[-1], 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--verb", choices=["resaturate", "relight"], default="resaturate")
    parser.add_argument("--model", help="by default the weights that come with the package")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    verb = options.verb
    model = options.model or {"resaturate": "resaturation", "relight": "relighting"}[verb]
    path = options.json or RESULTS / {"resaturate": "edit.json", "relight": "edit-relight.json"}[verb]
    with tempfile.TemporaryDirectory() as folder:
        photo = Path(folder) / "photo.jpg"
        make_photo(photo)
        command = [sys.executable, "-m", "coembed", verb, str(photo), "--model", model]
        cold = [measured([*command, "--out", f"{folder}/cold"]) for _ in range(COLD_RUNS)]
        warm = [sys.executable, "-c", _WARM, str(photo), f"{folder}/warm", model, str(WARM_RUNS), verb]
        _, warm_rss, output = measured(warm)
        times = json.loads(output.split("RESULT")[1])
        result = {
            "what": f"{verb}, 4000 x 3000 JPEG, n = 4, distinct",
            "machine": describe(),
            "model": model,
            "photo_mb": round(photo.stat().st_size / 1e6, 2),
            "cold_seconds": quartiles([seconds for seconds, _, _ in cold]),
            "cold_peak_rss_gb": round(max(rss for _, rss, _ in cold), 3),
            "warm_seconds_files_written": quartiles(times["files"]),
            "warm_seconds_python": quartiles(times["python"]),
            "warm_peak_rss_gb": round(warm_rss, 3),
            "targets": TARGETS,
        }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
