"""Training of a peer by the CPU seconds of its process: a busy machine changes nothing, Ctrl-C loses little.

The recipe is that of ``coembed train``: AdamW, the same schedule, mirrored pairs, bfloat16 where that is
faster, a running mean of the weights. Batch and highest rate are the peer's own. A gradient longer than
three times the running mean of their lengths is shortened to that: it means the same for losses of any unit.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save as tensor_bytes
from torch import Tensor

from coembed.data.pairs import Pairs, evenly_spaced, fingerprint
from coembed.errors import ConfigError, TrainingError
from coembed.numerics.random import named_generator
from coembed.serialization import read_json, write_bytes, write_json
from coembed.training.batches import Batches
from coembed.training.config import TrainConfig
from coembed.training.ema import Ema
from coembed.training.machine import Interrupt, autocast, denormals_flushed
from coembed.training.schedule import learning_rate
from coembed.training.step import make_optimizer
from peers.peer import Peer

WEIGHTS, RECORD, CHECKPOINT = "model.safetensors", "peer.json", "checkpoint.safetensors"
_INITIAL_ROWS = 8192  # pairs that standardisation is measured on
_CHECKPOINT_SECONDS = 60.0
_LINE_SECONDS = 15.0
_MAX_LENGTHENING = 3.0
_MAX_SKIPPED = 20


@dataclass
class Course:
    """Progress of a training.

    Attributes:
        step: steps done.
        images: pairs seen.
        seconds: CPU seconds of all steps, without checkpoints.
        gradient_norm: running mean of gradients' lengths.
        skipped: steps in a row without finite loss and gradient.
    """

    step: int = 0
    images: int = 0
    seconds: float = 0.0
    gradient_norm: float = 0.0
    skipped: int = 0


@denormals_flushed()
def train_peer(
    peer: Peer,
    pairs: Pairs,
    folder: Path,
    *,
    seconds: float,
    key: str = "",
    seed: int = 0,
    vectors: tuple[bool, bool] = (False, False),
    task: str = "custom",
    flips: bool = True,
    say: Callable[[str], object] = print,
) -> None:
    """Train a peer, or go on where its last checkpoint stopped, and write weights and record.

    Args:
        peer: freshly made; holds the running mean of the weights afterwards.
        pairs: to learn from.
        folder: of the run; an unfinished run of other options is refused, a finished one replaced at the end.
        seconds: of CPU time, in all.
        key: the peer's name in the registry, for the record.
        seed: of pairs, mirrors and noise.
        vectors: whether condition and field are displacements, which a mirror turns round.
        task: name, for the record.
        flips: mirror half of the pairs left to right.
        say: gets lines of progress.

    Raises:
        ConfigError: the folder holds a run of other options.
        TrainingError: many steps in a row without finite loss or gradient.
        KeyboardInterrupt: after Ctrl-C, once the checkpoint is written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    options = {
        "peer": key,
        "task": task,
        "seconds": seconds,
        "seed": seed,
        "batch_size": peer.batch_size,
        "learning_rate": peer.learning_rate,
        "parameters": peer.parameter_count(),
        "pairs": {"count": len(pairs), "digest": fingerprint(pairs)},
    }
    if not flips:
        options["flips"] = False
    config = TrainConfig("pairs", str(folder), learning_rate=peer.learning_rate, batch_size=peer.batch_size)
    batches = Batches(pairs, peer.batch_size, seed, torch.device("cpu"), vectors)
    rows = evenly_spaced(len(pairs), _INITIAL_ROWS)
    peer.initialise(batches.pairs.condition(rows), batches.pairs.field(rows))
    peer.train()
    ema, optimizer = Ema(peer, config.ema_halflife), make_optimizer(peer, config)  # type: ignore[arg-type]
    generators = {name: named_generator(seed, name) for name in ("noise", "flips")}
    course, curve = Course(), []
    if (folder / CHECKPOINT).exists():
        course, curve = _load(folder / CHECKPOINT, options, peer, ema.model, optimizer, generators)  # type: ignore[arg-type]
        say(f"{folder}: goes on at {course.seconds:.0f} of {seconds:g} CPU seconds, {course.images} pairs")

    def save() -> None:
        _save(folder / CHECKPOINT, options, peer, ema.model, optimizer, generators, course, curve)  # type: ignore[arg-type]

    saved = said = course.seconds
    losses: list[float] = []
    with Interrupt() as interrupt:
        while course.seconds < seconds:
            begun = time.process_time()
            fraction = course.seconds / seconds
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(config, fraction)
            losses += _step(peer, optimizer, batches, config, generators, course, fraction, flips)
            course.step, course.images = course.step + 1, course.images + batches.size
            ema.update(peer, batches.size, course.images)  # type: ignore[arg-type]
            course.seconds += time.process_time() - begun
            if course.seconds - said >= _LINE_SECONDS or course.seconds >= seconds:
                said, mean = course.seconds, sum(losses) / max(1, len(losses))
                curve.append([course.images, round(course.seconds, 1), round(mean, 6)])
                losses.clear()
                rate = course.images / course.seconds
                say(
                    f"{folder.name}: {course.seconds:.0f}/{seconds:g} CPU s, {course.images} pairs, "
                    f"{rate:.0f} a CPU s, loss {mean:.5g}"
                )
            if interrupt.asked:
                save()
                say(f"{folder}: stopped; the same command goes on")
                raise KeyboardInterrupt
            if course.seconds - saved >= _CHECKPOINT_SECONDS:
                save()
                saved = course.seconds
    peer.load_state_dict(ema.model.state_dict())
    peer.eval()
    write_bytes(folder / WEIGHTS, tensor_bytes(_contiguous(peer.state_dict())))
    write_json(folder / RECORD, options | {"format": "coembed-peer", "course": asdict(course), "curve": curve})
    (folder / CHECKPOINT).unlink(missing_ok=True)


def load_peer(peer: Peer, folder: Path) -> dict[str, object]:
    """Fill a peer with the weights of a finished run; return the run's record.

    Raises:
        ConfigError: a missing or damaged record.
    """
    record = read_json(folder / RECORD)
    if not isinstance(record, dict) or record.get("format") != "coembed-peer":
        raise ConfigError(f"{folder / RECORD}: expected a peer's record (format 'coembed-peer')")
    with safe_open(folder / WEIGHTS, "pt") as file:
        peer.load_state_dict({key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118
    peer.eval()
    return record


def is_finished(peer: Peer, folder: Path) -> bool:
    """True if the folder holds a finished run of this peer with the settings and size that it has now.

    Raises:
        ConfigError: a damaged record.
    """
    if not (folder / RECORD).exists():
        return False
    record = read_json(folder / RECORD)
    settings = {
        "batch_size": peer.batch_size,
        "learning_rate": peer.learning_rate,
        "parameters": peer.parameter_count(),
    }
    return isinstance(record, dict) and all(record.get(key) == value for key, value in settings.items())


def _step(
    peer: Peer,
    optimizer: torch.optim.Optimizer,
    batches: Batches,
    config: TrainConfig,
    generators: dict[str, torch.Generator],
    course: Course,
    fraction: float,
    flips: bool,
) -> list[float]:
    """One step of training; its loss, or nothing if it was skipped."""
    condition, field, _ = batches.get(batches.indices(course.step), generators["flips"] if flips else None)
    condition, field = peer.standard(condition, "condition"), peer.standard(field, "field")
    with autocast(config, torch.device("cpu")):
        losses = peer.loss(condition, field, generator=generators["noise"], fraction=fraction).float()
    if losses.shape != (len(condition),):
        raise TypeError(f"{type(peer).__name__}.loss: shape {tuple(losses.shape)}, expected {len(condition)},")
    loss = losses.mean()
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    parameters = [p for p in peer.parameters() if p.grad is not None]
    length = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    if not (bool(loss.isfinite()) and bool(length.isfinite())):
        course.skipped += 1
        if course.skipped > _MAX_SKIPPED:
            raise TrainingError(f"{peer.name}: {course.skipped} steps in a row were not finite")
        return []
    course.skipped = 0
    norm = float(length)
    usual = course.gradient_norm or norm
    torch.nn.utils.clip_grads_with_norm_(parameters, _MAX_LENGTHENING * usual, length)
    course.gradient_norm = usual + 0.02 * (min(norm, _MAX_LENGTHENING * usual) - usual)
    optimizer.step()
    return [float(loss.detach())]


def _save(
    path: Path,
    options: dict[str, object],
    peer: Peer,
    mean: Peer,
    optimizer: torch.optim.Optimizer,
    generators: dict[str, torch.Generator],
    course: Course,
    curve: list[list[float]],
) -> None:
    """One file, whole or not at all: weights, their running mean, moments, generators, and JSON in its head."""
    tensors = {f"peer/{k}": v for k, v in peer.state_dict().items()}
    tensors |= {f"mean/{k}": v for k, v in mean.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{index}/{key}": value for key, value in state.items()}
    tensors |= {f"generator/{name}": g.get_state() for name, g in generators.items()}
    head = {"options": json.dumps(options), "course": json.dumps(asdict(course)), "curve": json.dumps(curve)}
    write_bytes(path, tensor_bytes(_contiguous(tensors), metadata=head))


def _load(
    path: Path,
    options: dict[str, object],
    peer: Peer,
    mean: Peer,
    optimizer: torch.optim.Optimizer,
    generators: dict[str, torch.Generator],
) -> tuple[Course, list[list[float]]]:
    with safe_open(path, "pt") as file:
        head = file.metadata()
        tensors: dict[str, Tensor] = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    if json.loads(head["options"]) != json.loads(json.dumps(options)):
        raise ConfigError(f"{path}: is of {head['options']}, expected {json.dumps(options)}")

    def part(name: str) -> dict[str, Tensor]:
        return {k.removeprefix(f"{name}/"): v for k, v in tensors.items() if k.startswith(f"{name}/")}

    peer.load_state_dict(part("peer"))
    mean.load_state_dict(part("mean"))
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in part("optimizer").items():
        index, name = key.split("/")
        if value.ndim:  # in the parameter's own order of axes, which the fused step relies on
            value = torch.empty_like(parameters[int(index)]).copy_(value)
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
    for name, value in part("generator").items():
        generators[name].set_state(value)
    return Course(**json.loads(head["course"])), json.loads(head["curve"])


def _contiguous(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value.detach().contiguous() for key, value in tensors.items()}
