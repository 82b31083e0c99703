"""Train what a user would pick instead of CoEmbed, on the same pairs and CPU seconds, and score all alike.

    python benchmarks/peers/run.py --pairs DIR --out RUNS --runs EXISTING [--peers flow ...] [--seconds 240]

Trains every peer for ``--seconds`` of CPU time in RUNS/TASK/PEER-SECONDS, then scores the closed forms, the
runs of ``coembed train`` in EXISTING/TASK/ and every peer ever trained in RUNS/TASK/, and writes
``results/peers-TASK.json`` and ``.md``. Ctrl-C loses a minute at most: the same command goes on. A second
budget is a second call, ``--seconds 900 --reference default default-900``; its peers join the table and are
compared with the run that was trained as long. Run it with OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # `peers` and `machine` lie there

from machine import describe

from coembed.data.store.store import PairStore, open_pairs
from coembed.errors import CoEmbedError, ConfigError
from coembed.evaluation.results import Evaluation
from coembed.serialization import write_bytes, write_compact_json
from peers.entry import entry
from peers.registry import PEERS, peer_class
from peers.rows import closed_forms, coembed_runs, distinct, matching, new_peer, peer_runs
from peers.score import Options, score
from peers.table import markdown
from peers.train import is_finished, train_peer


def main() -> None:
    arguments = _parse()
    torch.set_num_threads(1)
    train, val = open_pairs(arguments.pairs, "train"), open_pairs(arguments.pairs, "val")
    if train.folder == val.folder:
        raise ConfigError(f"{arguments.pairs}: is one store, expected a folder that holds train/ and val/")
    runs = arguments.out / val.index.task
    vectors = (train.index.condition.vector, train.index.field.vector)
    for key in arguments.peers if arguments.only != "score" else []:
        folder = runs / f"{key}-{arguments.seconds:g}"
        peer = new_peer(peer_class(key), train, arguments.seed)
        if not is_finished(peer, folder):
            train_peer(
                peer,
                train,
                folder,
                seconds=arguments.seconds,
                key=key,
                seed=arguments.seed,
                vectors=vectors,
                task=val.index.task,
                say=_say,
            )
    if arguments.only == "train":
        return
    existing = list(coembed_runs(arguments.runs / val.index.task, _say)) if arguments.runs else []
    rows = distinct([*closed_forms(train), *existing, *peer_runs(runs, train, _say)])
    references = [row for row in rows if row.name in arguments.reference]
    for name in set(arguments.reference) - {row.name for row in references}:
        _say(f"{name}: no such row, so nothing is compared with it")
    options = Options(
        arguments.limit,
        arguments.flow_limit,
        arguments.samples,
        arguments.flow_samples,
        arguments.seed,
        runs / "scores",
    )
    done: dict[str, dict[str, Any]] = {}
    bases: dict[str, Evaluation] = {}
    for row in sorted(rows, key=lambda row: (row not in references, row.limited)):  # the slow ones last
        reference = matching(row, references)
        scored = score(row, val, reference, options)
        if row in references:
            bases[row.name] = scored.evaluation
        base = bases[reference.name] if reference else None
        done[row.name] = entry(scored, base, options.few(len(val)))
        _write([done[row.name] for row in rows if row.name in done], val, arguments)
    _say(str(arguments.results / f"peers-{val.index.task}.md"))


def _write(rows: list[dict[str, Any]], val: PairStore, arguments: Namespace) -> None:
    """The results so far: after every row."""
    data = {
        "format": "coembed-peers",
        "version": 1,
        "task": val.index.task,
        "size": list(val.index.size),
        "samples": arguments.samples,
        "seed": arguments.seed,
        "references": arguments.reference,
        "machine": describe(threads=1),
        "rows": rows,
    }
    arguments.results.mkdir(parents=True, exist_ok=True)
    stem = arguments.results / f"peers-{val.index.task}"
    write_compact_json(stem.with_suffix(".json"), data)
    write_bytes(stem.with_suffix(".md"), markdown(data).encode())


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _parse() -> Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pairs", required=True, type=Path, help="folder that holds train/ and val/")
    parser.add_argument("--peers", nargs="*", choices=list(PEERS), default=list(PEERS), help="to train")
    parser.add_argument("--seconds", type=float, default=240.0, help="CPU seconds of training, a peer")
    parser.add_argument("--out", type=Path, default=Path("out/peers"), help="folder of the peers' runs")
    parser.add_argument("--runs", type=Path, help="folder of CoEmbed's runs, TASK/NAME")
    parser.add_argument(
        "--reference",
        nargs="+",
        default=["default"],
        metavar="NAME",
        help="rows that the others are compared with: each with the one trained for about as long",
    )
    parser.add_argument("--limit", type=int, default=1000, help="validation pairs, from the first")
    parser.add_argument(
        "--flow-limit", type=int, default=100, help="the same of slow samplers, evenly spread over those"
    )
    parser.add_argument("--samples", type=int, default=100, help="samples per photo")
    parser.add_argument("--flow-samples", type=int, default=20, help="the same of slow samplers")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=("train", "score"), help="half of the work")
    parser.add_argument("--results", type=Path, default=Path(__file__).resolve().parents[1] / "results")
    arguments = parser.parse_args()
    least = min(arguments.limit, arguments.flow_limit, arguments.samples, arguments.flow_samples)
    if arguments.seconds <= 0 or least < 2:
        parser.error("expected --seconds above 0, and limits and samples of 2 or more")
    return arguments


if __name__ == "__main__":
    try:
        main()
    except CoEmbedError as error:
        sys.exit(f"peers: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
