"""A run that is killed, anywhere, and resumed ends in the very bytes of one that never stopped."""

import json
import os
import random
import re
import signal
import time
from pathlib import Path

import pytest
import toy

from coembed.errors import TrainingError
from coembed.training import checkpoint
from coembed.training.config import TrainConfig
from coembed.training.run_dir import saved_options

TIMES = ("seconds", "images_per_second", "memory_mb")


def metrics(out: Path) -> list[dict]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in TIMES} for line in lines]


def weights(out: Path) -> list[bytes]:
    last = checkpoint.latest(out)
    assert last is not None
    names = ("model.safetensors", "ema.safetensors", "optimizer.safetensors")
    return [(last / n).read_bytes() for n in names] + [(out / "model" / "model.safetensors").read_bytes()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "run"
    toy.train(toy.options(out))
    return out


def same(out: Path, whole: Path) -> None:
    assert metrics(out) == metrics(whole)
    assert weights(out) == weights(whole)
    assert [p.name for p in out.glob("*checkpoint-*")] == ["checkpoint-00000100"]
    assert not list(out.glob(".*"))


def wait_for(condition, process) -> None:
    while not condition() and process.is_alive():
        time.sleep(0.002)


def test_killed_at_random_times_during_and_between_writes(whole, tmp_path):
    out, dice, kills, torn = tmp_path / "run", random.Random(0), 0, 0
    while True:
        process = toy.child(out, slow=0.005)
        if kills < 5:
            wait_for(lambda: checkpoint.latest(out) if out.exists() else None, process)
            time.sleep(dice.uniform(0.0, 0.4))
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.join()
        torn += bool(list(out.glob(".checkpoint-*")))
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL, out.with_suffix(".txt").read_text()
    assert kills >= 3
    assert torn  # at least one kill fell inside a write
    same(out, whole)


@pytest.mark.parametrize(
    ("kill", "left"),
    [
        ({"kill_at_file": 1}, None),  # torn before there was any
        ({"kill_at_file": 31}, "checkpoint-00000010"),  # after the weights of the 11th
        ({"kill_at_file": 33}, "checkpoint-00000010"),  # all but its state.json
        ({"kill_at_flush": 11}, "checkpoint-00000011"),  # renamed, the 10th not yet removed
    ],
)
def test_killed_at_every_kind_of_moment_of_a_write(whole, tmp_path, kill, left):
    out = tmp_path / "run"
    process = toy.child(out, **kill)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert len(list(out.glob("*checkpoint-*"))) == (1 if left is None else 2)
    last = checkpoint.latest(out)
    assert (None if last is None else last.name) == left
    toy.train(toy.options(out, resume=True))
    same(out, whole)


def test_interrupt_writes_a_checkpoint_and_says_how_to_go_on(whole, tmp_path):
    out = tmp_path / "run"
    process = toy.child(out, slow=0.005)
    wait_for(lambda: checkpoint.latest(out) if out.exists() else None, process)
    os.kill(process.pid, signal.SIGINT)
    process.join()
    assert process.exitcode == 130
    last = checkpoint.latest(out)
    assert last is not None
    assert last.name < "checkpoint-00000100"
    said = out.with_suffix(".txt").read_text()
    assert f"{last} is written. Go on with the same options and --resume" in said
    toy.train(toy.options(out, resume=True))
    same(out, whole)


def test_resuming_a_finished_run_changes_nothing(whole):
    before, lines = weights(whole), (whole / "metrics.jsonl").read_bytes()
    toy.train(toy.options(whole, resume=True))
    assert weights(whole) == before
    assert (whole / "metrics.jsonl").read_bytes() == lines


def test_a_run_is_never_overwritten_and_never_resumed_as_another(whole, tmp_path):
    with pytest.raises(TrainingError, match=r"already has a run; go on with --resume"):
        toy.train(toy.options(whole))
    with pytest.raises(TrainingError, match=r"the option learning_rate was 0.01 and is now 0.5"):
        toy.train(toy.options(whole, resume=True, learning_rate=0.5))
    with pytest.raises(TrainingError, match=r"the option of the model dropout was 0.1 and is now 0.2"):
        toy.train(toy.options(whole, resume=True), toy.Toy(toy.ToyConfig(dropout=0.2)))
    with pytest.raises(TrainingError, match=r"no run to resume"):
        toy.train(toy.options(tmp_path, resume=True))
    with pytest.raises(TrainingError, match=r"pairs was .* and is now"):
        other = toy.ToyPairs(100, seed=7)
        config = toy.options(whole, resume=True)
        toy.Trainer(toy.toy(), other, other, config, save=toy.save).train()
    assert saved_options(whole) == toy.options(whole)


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json"])
def test_a_damaged_checkpoint_is_an_error_that_names_the_file(tmp_path, name):
    config = toy.options(tmp_path / "run", images=160)
    toy.train(config)
    path = checkpoint.latest(tmp_path / "run") / name
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(TrainingError, match=re.escape(str(path))):
        toy.train(TrainConfig(**(vars(config) | {"resume": True})))
