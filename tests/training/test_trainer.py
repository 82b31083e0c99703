"""What the loop does beside learning: skips, alarms, pictures, validation, budgets."""

import json
import sys
import time
from pathlib import Path

import pytest
import torch
import toy
from PIL import Image

from coembed.data.pairs import evenly_spaced, load_all
from coembed.errors import ConfigError, TrainingError
from coembed.numerics.random import epoch_order
from coembed.training.batches import Batches
from coembed.training.ema import Ema
from coembed.training.log import MetricsLogger, diagnose
from coembed.training.schedule import Budget
from coembed.training.step import make_optimizer, train_step


def lines(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


class Broken(toy.Toy):
    """The loss of pairs whose first pixel is above ``limit`` is NaN."""

    limit = 2.0

    def loss(self, condition, field, *, generator, warmup=1.0):
        parts = super().loss(condition, field, generator=generator, warmup=warmup)
        if self.training:
            bad = condition[:, 0, 0, 0] > self.limit
            parts["distortion"] = torch.where(bad, torch.nan, parts["distortion"])
            parts["total"] = parts["distortion"] + warmup * parts["rate"]
        return parts


class Explodes(toy.Toy):
    """A finite loss with an infinite gradient."""

    def loss(self, condition, field, *, generator, warmup=1.0):
        parts = super().loss(condition, field, generator=generator, warmup=warmup)
        return parts | {"total": parts["total"] + (self.log_sigma * 0).clamp_min(0).sqrt()}


def test_learns_and_logs(tmp_path):
    assert toy.train(toy.options(tmp_path / "run", images=8000)) == tmp_path / "run" / "model"
    log = lines(tmp_path / "run")
    validated = [line for line in log if "validation" in line]
    assert validated[-1]["validation"]["total"] < validated[0]["validation"]["total"] - 1
    last = log[-1]
    assert last["progress"] == 1
    assert last["step"] == 500
    assert last["images"] == 8000
    for key in ("gradient_norm", "images_per_second", "memory_mb", "warmup", "learning_rate", "skipped"):
        assert last[key] >= 0
    assert last["train"]["total"] == pytest.approx(
        last["train"]["rate"] + last["train"]["distortion"], rel=1e-6
    )
    assert len(last["diagnostics"]["kl"]) == 1
    sheet = Image.open(next((tmp_path / "run" / "samples").glob("*.png")))
    assert sheet.size == (8 * 66, 8 * 66)  # condition, truth and 6 samples of 8 pairs, 64 pixels and a gap


def test_the_kept_weights_are_the_running_mean(tmp_path):
    from coembed.training.checkpoint import latest, read_tensors

    toy.train(toy.options(tmp_path / "run"))
    last = latest(tmp_path / "run")
    kept, mean = (
        read_tensors(tmp_path / "run" / "model" / "model.safetensors"),
        read_tensors(last / "ema.safetensors"),
    )
    raw = read_tensors(last / "model.safetensors")
    assert all(torch.equal(kept[k], mean[k]) for k in mean)
    assert not torch.equal(kept["encoder.weight"], raw["encoder.weight"])


def test_non_finite_losses_are_skipped_counted_and_named(tmp_path):
    pairs = toy.ToyPairs(100)
    model = Broken(toy.ToyConfig())
    model.limit = float(pairs.condition(slice(None))[:, 0, 0, 0].sort().values[-2])
    worst = int(pairs.condition(slice(None))[:, 0, 0, 0].argmax())
    options = toy.options(tmp_path / "run", max_skipped=50, flips=False)
    toy.Trainer(model, pairs, pairs, options, save=toy.save).train()
    skipped = [line for line in lines(tmp_path / "run") if line.get("event") == "skipped"]
    assert skipped
    assert all(line["pairs"] == [worst] and line["terms"] == ["total", "distortion"] for line in skipped)
    assert lines(tmp_path / "run")[-1]["skipped"] == len(skipped)
    assert all(p.isfinite().all() for p in model.parameters())


def test_too_many_skipped_steps_stop_the_run_with_the_cause(tmp_path):
    model = Broken(toy.ToyConfig())
    model.limit = -1.0
    before = [p.clone() for p in model.parameters()]
    with pytest.raises(TrainingError, match=r"step 3: total, distortion not finite.*3 steps in a row"):
        toy.train(toy.options(tmp_path / "run", max_skipped=3), model)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_a_non_finite_gradient_changes_nothing():
    model, config = Explodes(toy.ToyConfig()), toy.options("run")
    before = [p.clone() for p in model.parameters()]
    optimizer, pairs = make_optimizer(model, config), toy.ToyPairs(8)
    result = train_step(
        model,
        optimizer,
        pairs.condition(slice(None)),
        pairs.field(slice(None)),
        config,
        generator=torch.Generator(),
        warmup=1.0,
        learning_rate=1.0,
    )
    assert result.non_finite is not None
    assert result.non_finite.terms == ("gradient of log_sigma",)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert not optimizer.state


def test_bf16_is_close_to_float32(tmp_path):
    ends = []
    for precision in ("bf16", "float32"):
        toy.train(toy.options(tmp_path / precision, images=3200, precision=precision))
        ends.append(lines(tmp_path / precision)[-1]["validation"]["total"])
    assert ends[0] != ends[1]
    assert ends[0] == pytest.approx(ends[1], abs=0.5)


def test_an_epoch_shows_every_pair_once_in_an_order_of_seed_and_epoch_alone():
    batches = Batches(toy.ToyPairs(48), 16, 3, torch.device("cpu"))
    second = torch.cat([batches.indices(step) for step in (3, 4, 5)])
    assert second.sort().values.tolist() == list(range(48))
    assert torch.equal(second, epoch_order(3, 1, 48))
    assert torch.equal(batches.indices(1), epoch_order(3, 0, 48)[16:32])  # going back gives the same rows again
    assert not torch.equal(epoch_order(3, 0, 48), epoch_order(4, 0, 48))


def test_flips_mirror_condition_and_field_together():
    batches = Batches(toy.ToyPairs(200), 200, 0, torch.device("cpu"))
    rows = torch.arange(200)
    plain, mirrored = (batches.get(rows, g)[:2] for g in (None, torch.Generator().manual_seed(0)))
    kinds = []
    for row in range(200):
        same = [torch.equal(a[row], b[row]) for a, b in zip(plain, mirrored, strict=True)]
        turned = [torch.equal(a[row].flip(-1), b[row]) for a, b in zip(plain, mirrored, strict=True)]
        assert all(same) or all(turned)
        kinds.append(all(turned))
    assert 80 < sum(kinds) < 120


def test_flips_turn_the_horizontal_part_of_a_displacement():
    class Moving(toy.ToyPairs):
        def field(self, rows):
            return torch.cat([super().field(rows), super().field(rows) + 1], 1)

    batches = Batches(Moving(50), 50, 0, torch.device("cpu"), vectors=(False, True))
    rows = torch.arange(50)
    plain, mirrored = (batches.get(rows, g)[:2] for g in (None, torch.Generator().manual_seed(0)))
    turned = 0
    for row in range(50):
        (c, f), (mirrored_c, mirrored_f) = (tuple(layer[row] for layer in pair) for pair in (plain, mirrored))
        if torch.equal(c, mirrored_c):
            assert torch.equal(f, mirrored_f)
        else:
            assert torch.equal(c.flip(-1), mirrored_c)
            assert torch.equal(-f[0].flip(-1), mirrored_f[0])
            assert torch.equal(f[1].flip(-1), mirrored_f[1])
            turned += 1
    assert 10 < turned < 40


def test_pairs_are_held_without_loss():
    class Fine(toy.ToyPairs):
        def field(self, rows):
            return super().field(rows) + 1e-5

    for pairs in (toy.ToyPairs(30), Fine(30)):
        held = load_all(pairs)
        assert torch.equal(held.field([3, 1]), pairs.field([3, 1]))
        assert torch.equal(held.condition(slice(5)), pairs.condition(slice(5)))


def test_running_mean_halves_an_old_weight_every_halflife():
    model = toy.toy()
    ema = Ema(model, halflife=1000)
    start = model.encoder.weight.detach().clone()
    with torch.no_grad():
        model.encoder.weight.zero_()
    for step in range(4):
        ema.update(model, 250, 10**6 + 250 * step)
    torch.testing.assert_close(dict(ema.model.named_parameters())["encoder.weight"], start / 2)
    ema.update(model, 250, 250)  # at the start the half-life is 5% of the images seen: 12.5
    assert dict(ema.model.named_parameters())["encoder.weight"].abs().max() < start.abs().max() * 2**-20


def test_budget_is_images_epochs_clock_or_the_first_to_end():
    def progress(seen=0, seconds=0.0, **length):
        return Budget.of(toy.options("run", **({"images": None} | length)), 1000).progress(seen, seconds)

    assert progress(500, 1e9, images=2000) == 0.25
    assert progress(500, 1e9, epochs=5.0) == 0.1
    assert progress(500, 30.0, minutes=1.0) == 0.5
    assert progress(500, 30.0, minutes=1.0, epochs=0.5) == 1.0
    assert progress(50_000) == 0.5  # 100 epochs when nothing is said


def test_a_clock_alone_ends_a_run(tmp_path):
    toy.train(toy.options(tmp_path / "run", images=None, minutes=0.005))
    assert lines(tmp_path / "run")[-1]["progress"] == 1


def test_minutes_may_be_of_cpu_time(tmp_path, monkeypatch):
    """A clock that stands still ends no run; the other one does."""
    monkeypatch.setattr(time, "perf_counter", lambda: 0.0)
    toy.train(toy.options(tmp_path / "run", images=None, minutes=0.005, clock="cpu"))
    last = lines(tmp_path / "run")[-1]
    assert last["progress"] == 1
    assert last["seconds"] == pytest.approx(0.3, rel=0.5)


def test_the_batch_suits_the_preset_unless_it_is_given():
    assert toy.options("run", preset="default", batch_size=0).resolve().batch_size == 64
    assert toy.options("run", preset="paper-gauss", batch_size=0).resolve().batch_size == 256
    assert toy.options("run", preset="default", batch_size=7).resolve().batch_size == 7


def test_dry_run_counts_and_measures_and_writes_nothing(tmp_path, capsys):
    toy.train(toy.options(tmp_path / "run", dry_run=True))
    text = capsys.readouterr().out
    assert not (tmp_path / "run").exists()
    count = sum(p.numel() for p in toy.toy().parameters())
    assert f"{count:,d} parameters" in text
    assert '"batch_size": 16' in text
    assert "An epoch of 100 pairs (6 steps) takes" in text


@pytest.mark.parametrize(
    ("diagnostics", "words"),
    [
        ({"kl_field": [3.0, 0.05]}, ["Layer 1 of the field codes (0 is the coarsest) is dead"]),
        ({"kl_field": [0.3, 0.05]}, ["The field codes are ignored"]),
        ({"active_field": [0, 0]}, ["No unit of the field codes is active"]),
        ({"components_effective": 1.4, "components": 12}, ["Mixture components have died: 1.40 of 12"]),
        ({"components_effective": 1.0, "components": 1, "kl_field": [3.0, 2.0], "active_units": [4, 1]}, []),
    ],
)
def test_alarms(diagnostics, words):
    found = list(diagnose(diagnostics).values())
    assert len(found) == len(words)
    assert all(text.startswith(word) for text, word in zip(found, words, strict=True))


def test_an_alarm_is_logged_once(tmp_path):
    class Dead(toy.Toy):
        def diagnostics(self, condition, field, *, generator):
            return {"kl_field": [0.0]}

    toy.train(toy.options(tmp_path / "run"), Dead(toy.ToyConfig()))
    texts = [line["text"] for line in lines(tmp_path / "run") if line.get("event") == "alarm"]
    assert len(texts) == 1
    assert "ignored" in texts[0]


def test_log_cuts_what_a_resumed_run_will_write_again(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2, "event": "alarm"}\n{"step": 2}\n{"step": 3}\n{"step"')
    with MetricsLogger(path, keep_until=2) as log:
        log.write({"step": 3, "new": True})
    assert (
        path.read_text()
        == '{"step": 1}\n{"step": 2, "event": "alarm"}\n{"step": 2}\n{"step": 3, "new": true}\n'
    )


def test_wrong_options_name_themselves():
    for changes, words in [
        ({"batch_size": -1}, "batch_size: got -1"),
        ({"warmup_fraction": 2.0}, "warmup_fraction: got 2.0"),
        ({"epochs": 3.0}, "images: got 1600 beside epochs 3.0"),
        ({"images": 0}, "images: got 0"),
    ]:
        with pytest.raises(ConfigError, match=words):
            toy.options("run", **changes)


def test_spread_rows_are_even_and_never_repeat():
    assert evenly_spaced(10, 5).tolist() == [0, 2, 4, 6, 8]
    assert evenly_spaced(3, 5).tolist() == [0, 1, 2]


def test_a_run_leaves_the_arithmetic_of_the_process_as_it_was(tmp_path):
    half = sys.float_info.min / 2
    assert half > 0
    toy.train(toy.options(tmp_path / "run", images=64))
    assert sys.float_info.min / 2 == half
