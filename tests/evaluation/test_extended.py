"""The full set of scores through ``evaluate``, and its memory."""

import json
import math
import subprocess
import sys

import pytest
import torch

from coembed.data.pairs import TensorPairs
from coembed.evaluation import extended, metrics
from coembed.evaluation.evaluate import evaluate
from coembed.evaluation.results import Evaluation, summaries
from coembed.evaluation.tables import REAL, more_rows, table_rows, write_csv, write_latex
from coembed.models.registry import fit_closed_form
from coembed.numerics.random import Streams
from coembed.serialization import to_dict


class Normal:
    """Draws N(offset + condition, width^2); right if width is 1 and offset 0."""

    def __init__(self, width=1.0, offset=0.0):
        self.width, self.offset = width, offset

    def sample(self, condition, n, *, generator):
        noise = Streams.of(generator, len(condition)).normal(n, condition[0].numel())
        return condition + self.offset + self.width * noise.unflatten(2, condition.shape[1:])


def pairs(count, channels=1, seed=0):
    g = torch.Generator().manual_seed(seed)
    condition = torch.randn(count, channels, 8, 8, generator=g)
    return condition, condition + torch.randn(count, channels, 8, 8, generator=g)


def test_a_right_sampler_is_right_by_every_score():
    found = evaluate(Normal(), pairs(240), samples=10, scores="full", training=pairs(50, seed=1)).summary()
    assert found["reliability"].value < 0.05
    assert found["average_rank"].value < 0.2 and found["band_depth"].value < 0.2  # chance: 0.14
    for key in ("power_2px", "power_4px", "power_8px", "novelty"):
        assert found[key].value == pytest.approx(1, abs=0.08)


class Waves:
    """Fields that are the condition plus a random amount of one wave: few directions, as in photos."""

    wave = torch.cos(torch.arange(8.0))[:, None] * torch.ones(8)

    def __init__(self, width=1.0):
        self.width = width

    def sample(self, condition, n, *, generator):
        noise = Streams.of(generator, len(condition)).normal(n, 65)
        amount = self.width * noise[..., 0, None, None, None] * self.wave
        return condition + amount + 0.02 * noise[..., 1:].unflatten(2, (1, 8, 8))

    def pairs(self, count, seed=0):
        g = torch.Generator().manual_seed(seed)
        condition = torch.randn(count, 1, 1, 1, generator=g) * torch.linspace(-1, 1, 8).expand(count, 1, 8, 8)
        return condition, self.sample(condition, 1, generator=g)[0]


def test_precision_and_recall_of_pairs_are_those_of_real_pairs_if_right_and_not_if_the_condition_is_ignored():
    store, training = Waves().pairs(240), Waves().pairs(240, seed=1)
    found = {
        name: evaluate(s, store, samples=2, scores="full").summary()
        for name, s in (
            ("right", Waves()),
            ("narrow", Waves(0.2)),
            ("ignoring", fit_closed_form("random", training)),
        )
    }
    for key in ("precision", "recall", "density", "coverage"):
        right = found["right"][key]
        assert right.value == pytest.approx(right_of(found["right"], key), abs=0.1)
    assert found["narrow"]["recall"].value < found["right"]["recall"].value - 0.3
    assert found["ignoring"]["precision"].value < found["right"]["precision"].value - 0.1
    assert found["ignoring"]["density"].value < 0.8 * found["right"]["density"].value


def right_of(summary, key):
    return summary[f"real_{key}"].value


def test_each_score_sees_its_own_fault():
    store, training = pairs(120), pairs(50, seed=1)
    full = lambda s: evaluate(s, store, samples=10, scores="full", training=training).summary()  # noqa: E731
    right, narrow, copies = full(Normal()), full(Normal(0.3)), full(fit_closed_form("random", training))
    assert narrow["reliability"].value > 0.5 and narrow["band_depth"].value > 1
    assert narrow["power_2px"].value < 0.7 and narrow["variogram"].value > right["variogram"].value
    assert copies["novelty"].value == 0 and right["novelty"].value > 0.9


def test_the_default_scores_are_as_they_were_and_batches_change_nothing(monkeypatch):
    store = pairs(14)
    plain = evaluate(Normal(), store, samples=5)
    assert not plain.sets and not any(key.startswith(("rank", "power", "variogram")) for key in plain.values)
    monkeypatch.setattr(extended, "_WAITING", 4)
    whole = evaluate(Normal(), store, samples=5, scores="full", training=pairs(9))
    parts = evaluate(Normal(), store, samples=5, scores="full", training=pairs(9), batch=3)
    for key, column in whole.values.items():
        assert parts.values[key] == pytest.approx(column, rel=1e-4, abs=1e-5)
    assert plain.values == {key: whole.values[key] for key in plain.values}
    assert parts.sets.keys() == whole.sets.keys() and len(whole.sets) == 10


def test_another_photo_is_of_another_scene():
    assert extended.next_of_another([0, 0, 1, 2, 2, 2]) == [2, 2, 3, 0, 0, 0]
    assert extended.next_of_another([0, 1]) == [1, 0] and extended.next_of_another([4, 4, 4]) == [0, 1, 2]
    names = [f"v_Dive_g{scene:02}_c01.avi@{k}" for scene in range(6) for k in range(2)]
    store = TensorPairs(*pairs(12), names)
    found = evaluate(Normal(), store, samples=3, scores="full", batch=5)
    whole = evaluate(Normal(), store, samples=3, scores="full")
    assert found.values["spread_other"] == pytest.approx(whole.values["spread_other"], rel=1e-4)


def test_few_photos_have_no_sets_and_one_sample_no_full_scores():
    few = evaluate(Normal(), pairs(11), samples=3, scores="full")
    assert set(few.sets) == {"same_noise", "same_noise_rough"} and "variogram" in few.values
    assert not evaluate(Normal(), pairs(20), samples=1, scores="full").sets


def test_end_point_errors_are_those_of_vectors():
    condition, truth = pairs(6, channels=2)
    found = evaluate(Normal(), (condition, truth), samples=10, vector=True)
    drawn = Normal().sample(condition[4:5], 10, generator=Streams(0, [4]))
    errors = (drawn[:, 0] - truth[4]).square().sum(1).sqrt().mean((1, 2))
    assert found.values["epe_1"][4] == pytest.approx(errors.mean().item(), rel=1e-5)
    assert found.values["epe_10"][4] == pytest.approx(errors.min().item(), rel=1e-5)
    of_mean = (drawn[:, 0].mean(0) - truth[4]).square().sum(0).sqrt().mean()
    assert found.values["epe_mean"][4] == pytest.approx(of_mean.item(), rel=1e-5)
    assert metrics.best_end_point_error(drawn, truth[4:5], (1,))[1].shape == (1,)
    assert "epe_1" not in evaluate(Normal(), (condition, truth), samples=10).values


def test_files_of_before_are_still_read_and_new_ones_keep_their_sets(tmp_path):
    found = evaluate(Normal(), pairs(14), samples=4, scores="full")
    found.save(tmp_path / "new.json")
    assert Evaluation.load(tmp_path / "new.json") == found
    data = to_dict(found)
    del data["sets"]
    (tmp_path / "old.json").write_text(json.dumps(data))
    assert Evaluation.load(tmp_path / "old.json").sets == {}
    json.dumps(summaries([found], found.name), allow_nan=False)


def test_tables_files_and_rows_of_real_pairs(tmp_path):
    one = evaluate(Normal(), pairs(14), samples=4, name="one & all", scores="full")
    other = evaluate(fit_closed_form("nearest", pairs(9), smoothing=0.0), pairs(14), samples=4, name="other")
    rows = more_rows([one, other])
    assert [row[0] for row in rows] == ["Sampler", "one & all", "other", REAL]
    by_head = dict(zip(rows[0], zip(*rows[1:], strict=True), strict=True))
    assert by_head["VS"][0] == f"{one.summary()['variogram'].value:.4f}" and by_head["VS"][1:] == ("–", "–")
    assert by_head["precision"][2] == f"{one.sets['real_precision'][0]:.2f}"
    assert more_rows([other]) == []
    write_csv(tmp_path / "all.csv", [one, other])
    head, first, second = (line.split(",") for line in (tmp_path / "all.csv").read_text().splitlines())
    cell = dict(zip(head, first, strict=True))
    assert float(cell["energy"]) == one.summary()["energy"].value
    assert float(cell["energy_error"]) == one.summary()["energy"].error
    assert dict(zip(head, second, strict=True))["variogram"] == ""
    write_latex(tmp_path / "all.tex", table_rows([one, other]))
    text = (tmp_path / "all.tex").read_text()
    assert "one \\& all" in text and text.count(" \\\\\n") == 3 and "–" not in text


@pytest.mark.skipif(sys.platform != "linux", reason="reads peak memory from /proc")
def test_peak_memory_does_not_grow_with_the_photos():
    # 60 samples of 16 x 16 fields: 340 more photos' samples would take 21 MB if they were kept.
    script = """
import sys, torch
sys.path[:0] = PATH
from test_extended import Lazy, Normal, evaluate
def peak():
    return int(next(l for l in open('/proc/self/status') if l.startswith('VmHWM')).split()[1])
run = lambda n: evaluate(Normal(), Lazy(n), samples=60, limit=n, batch=20)
run(60); before = peak(); run(400); print(peak() - before)
"""
    script = script.replace("PATH", repr([str(__file__).rsplit("/", 1)[0]]))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 12_000, f"peak grew by {done.stdout} kB"


class Lazy:
    """Pairs made when they are read: nothing here takes memory."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def condition(self, rows):
        index = torch.arange(self.count)[rows].float()
        return torch.sin(index[:, None] * torch.arange(1.0, 257.0)).view(-1, 1, 16, 16)

    def field(self, rows):
        return self.condition(rows) + math.sqrt(2) * torch.sin(7 * self.condition(rows) * 1e3)
