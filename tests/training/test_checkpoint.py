"""The weights whose samples score best are what a run keeps."""

import json
from typing import Any

import pytest
import torch
import toy
from torch import nn

from coembed.training import checkpoint
from coembed.training.checkpoint import MARGIN, BestCheckpoint, State, latest, read_tensors


def one(value) -> Any:
    layer = nn.Linear(1, 1)
    nn.init.constant_(layer.weight, value)
    return layer


def test_the_least_score_is_remembered_and_taken_where_the_last_is_clearly_worse():
    best, state, model = BestCheckpoint(), State(), one(0.0)
    for step, (weight, score) in enumerate([(1.0, 5.0), (2.0, 3.0), (3.0, float("nan")), (4.0, 4.0)]):
        nn.init.constant_(model.weight, weight)
        state.step, state.latest = step, score
        best.update(model, state)
    assert (state.best, state.best_step) == (3.0, 1)
    said = best.restore(model, state)
    assert said is not None
    assert "step 1" in said
    assert model.weight.item() == 2.0


def test_a_last_state_within_the_margin_is_kept():
    best, state, model = BestCheckpoint(), State(step=1, latest=3.0), one(1.0)
    best.update(model, state)
    state.step, state.latest = 2, 3.0 * (1 + MARGIN / 2)
    nn.init.constant_(model.weight, 7.0)
    assert best.restore(model, state) is None
    assert model.weight.item() == 7.0


def test_a_difference_that_may_be_chance_keeps_the_last_state():
    def taken(differences):
        best, model = BestCheckpoint(), one(1.0)
        state = State(step=1, latest=3.0, latest_scores=(3.0,) * len(differences))
        best.update(model, state)
        state.step, state.latest_scores = 2, tuple(3.0 + d for d in differences)
        state.latest = sum(state.latest_scores) / len(differences)
        return best.restore(model, state) is not None

    assert not taken([2.0, -1.0, 0.5, -0.5])  # 0.25 +- 0.66
    assert taken([0.5, 0.25, 0.0, 0.25])  # 0.25 +- 0.10
    assert taken([2.0, -1.0, 0.5, -0.5] * 50)  # 0.25 +- 0.08


def test_a_run_that_overfits_keeps_what_it_had_and_says_so(tmp_path, capsys):
    run = tmp_path / "run"
    # Sixteen pairs for a whole network, and a steep rate: validation rises soon.
    options = toy.options(
        run, images=16_000, learning_rate=3e-2, validate_every=1600, log_every=1600, keep="best"
    )
    toy.Trainer(toy.toy(), toy.ToyPairs(16), toy.ToyPairs(200, seed=1), options, save=toy.save).train()
    log = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    scores = [line["validation"]["energy"] for line in log if "validation" in line]
    start = next(line["energy"] for line in log if line.get("event") == "start")
    assert scores[-1] > (1 + MARGIN) * min(start, *scores)
    assert "Kept: the weights of step" in capsys.readouterr().err
    newest = latest(run)
    assert newest is not None
    kept, last = (
        read_tensors(run / "model" / "model.safetensors"),
        read_tensors(newest / "ema.safetensors"),
    )
    assert not torch.equal(kept["encoder.weight"], last["encoder.weight"])
    best = read_tensors(newest / checkpoint.BEST)
    assert all(torch.equal(kept[name], best[name]) for name in best)


def test_a_resumed_run_keeps_the_same_weights(tmp_path, monkeypatch):
    def kept(out, **changes):
        toy.train(toy.options(out, keep="best", learning_rate=3e-2, **changes))
        return read_tensors(out / "model" / "model.safetensors")

    whole = kept(tmp_path / "whole")
    original = checkpoint.save

    def stop(run, state, *rest):
        path = original(run, state, *rest)
        if state.step == 60:
            raise KeyboardInterrupt
        return path

    monkeypatch.setattr(checkpoint, "save", stop)
    with pytest.raises(KeyboardInterrupt):
        kept(tmp_path / "halves", checkpoint_minutes=1e-9)
    monkeypatch.setattr(checkpoint, "save", original)
    halves = kept(tmp_path / "halves", resume=True, checkpoint_minutes=1e-9)
    assert all(torch.equal(halves[name], whole[name]) for name in whole)
