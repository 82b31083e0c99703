import json
import math

import pytest
import torch

from coembed.errors import ConfigError, DataError
from coembed.evaluation import evaluate as module
from coembed.evaluation import metrics
from coembed.evaluation.evaluate import evaluate
from coembed.evaluation.results import METRICS, Evaluation, difference, ratio, summaries
from coembed.evaluation.tables import markdown_comparison, markdown_table
from coembed.numerics import scoring_rules
from coembed.numerics.random import Streams


class Normal:
    """Draws N(offset + condition, width^2); right if width is 1 and offset 0."""

    def __init__(self, width=1.0, offset=0.0):
        self.width, self.offset = width, offset

    def sample(self, condition, n, *, generator):
        noise = Streams.of(generator, len(condition)).normal(n, condition[0].numel())
        return condition + self.offset + self.width * noise.unflatten(2, condition.shape[1:])


def pairs(count=12, size=8):
    g = torch.Generator().manual_seed(0)
    condition = torch.randn(count, 1, size, size, generator=g)
    return condition, condition + torch.randn(count, 1, size, size, generator=g)


def test_the_columns_are_the_metrics_of_each_photos_own_stream():
    condition, field = pairs()
    found = evaluate(Normal(), (condition, field), samples=12, seed=3, limit=7)
    assert found.conditions == 7 and found.names == tuple("0123456")
    drawn = Normal().sample(condition[5:6], 12, generator=Streams(3, [5]))
    expected = scoring_rules.multiscale_energy_score(drawn, field[5:6])
    for scale, value in expected.items():
        assert found.values[f"energy_{scale}px"][5] == pytest.approx(value.item(), rel=1e-5)
    assert found.values["best_10"][5] == pytest.approx(
        metrics.best_of_n(drawn, field[5:6], (10,))[10].item(), rel=1e-5
    )
    assert found.values["crps"][5] == pytest.approx(scoring_rules.crps(drawn, field[5:6]).item(), rel=1e-5)
    assert "best_30" not in found.values


def test_batches_and_limits_beyond_the_store_change_nothing(monkeypatch):
    whole = evaluate(Normal(), pairs(), samples=10, limit=10_000)
    assert whole.conditions == 12
    parts = evaluate(Normal(), pairs(), samples=10, batch=5)
    monkeypatch.setattr(module, "_BATCH_VALUES", 1)
    single = evaluate(Normal(), pairs(), samples=10)
    for other in (parts, single):
        assert other.values.keys() == whole.values.keys()
        for key, column in whole.values.items():
            assert other.values[key] == pytest.approx(column, rel=1e-4, abs=1e-6)


def test_the_default_batch_bounds_the_samples_in_memory(monkeypatch):
    monkeypatch.setattr(module, "_BATCH_VALUES", 3 * 10 * 64)
    seen = []
    evaluate(Normal(), pairs(), samples=10, progress=seen.append)
    assert seen == [3, 3, 3, 3]


def test_one_sample_gives_errors_alone():
    found = evaluate(Normal(), pairs(), samples=1)
    assert set(found.summary()) == {"best_1", "sharpness"}
    assert "–" in markdown_table([found])
    json.dumps(summaries([found]), allow_nan=False)


def test_one_photo_has_no_standard_error():
    found = evaluate(Normal(), pairs(), samples=4, limit=1)
    assert found.summary()["energy"].error is None
    assert "±" not in markdown_comparison([found], found)


def test_flat_fields_have_no_sharpness_and_no_nan():
    condition, field = pairs()
    found = evaluate(Normal(), (condition, torch.zeros_like(field)), samples=4)
    assert "sharpness" not in found.summary()
    assert all(math.isfinite(e.value) for e in found.summary().values())


def test_a_right_sampler_scores_as_calibrated():
    summary = evaluate(Normal(), pairs(300), samples=20).summary()
    assert summary["spread_skill"].value == pytest.approx(1, abs=0.02)
    assert summary["coverage_90"].value == pytest.approx(0.9, abs=0.01)
    assert summary["sharpness"].value == pytest.approx(1, abs=0.03)
    assert summary["variance"].value == pytest.approx(1, abs=0.03)
    assert summary["best_1"].value == pytest.approx(2, abs=0.05)


@pytest.mark.parametrize("metric", ["energy", "multiscale_energy", "spread_skill", "sharpness", "best_3"])
def test_standard_errors_are_those_of_the_jackknife(metric):
    good, wide = (evaluate(s, pairs(60), samples=5, name=str(s.width)) for s in (Normal(), Normal(1.5, 0.2)))

    def without(e, i):
        values = {k: v[:i] + v[i + 1 :] for k, v in e.values.items()}
        names = e.names[:i] + e.names[i + 1 :]
        return Evaluation(**{**vars(e), "values": values, "names": names, "conditions": e.conditions - 1})

    pair = (wide, good)
    for compare in (difference, ratio):
        left_out = torch.tensor(
            [compare(*(without(e, i) for e in pair), metric).value for i in range(60)], dtype=torch.float64
        )
        jackknife = (59 / 60 * (left_out - left_out.mean()).square().sum()).sqrt().item()
        assert compare(*pair, metric).error == pytest.approx(jackknife, rel=0.05)


def test_pairing_tells_apart_what_single_errors_do_not():
    good, off = (evaluate(s, pairs(100), samples=20) for s in (Normal(), Normal(1.0, 0.25)))
    apart = difference(off, good, "energy")
    assert apart.value > 5 * apart.error
    assert apart.error < good.summary()["energy"].error / 2
    assert ratio(off, good, "energy").value == pytest.approx(
        off.summary()["energy"].value / good.summary()["energy"].value
    )
    assert difference(good, good, "energy") == type(apart)(0.0, 0.0)


def test_clipping_happens_before_scoring():
    condition, field = pairs()
    found = evaluate(Normal(), (condition, field.clamp(0, 1)), samples=10, clip=(0.0, 1.0))
    drawn = Normal().sample(condition, 10, generator=0).clamp(0, 1)
    assert found.values["variance"] == pytest.approx(metrics.grid_variance(drawn).tolist(), rel=1e-4)
    assert found.clip == (0.0, 1.0)


def test_json_keeps_everything_and_refuses_other_files(tmp_path):
    found = evaluate(Normal(), pairs(), samples=10, clip=(-1.0, 1.0), name="a/b")
    found.save(tmp_path / "e.json")
    assert Evaluation.load(tmp_path / "e.json") == found
    assert max(map(len, (tmp_path / "e.json").read_text().splitlines())) < 500
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"other.json: expected an evaluation"):
        Evaluation.load(tmp_path / "other.json")


def test_tables_have_the_papers_columns_times_100():
    one = evaluate(Normal(), pairs(), samples=100, name="one")
    other = evaluate(Normal(2.0), pairs(), samples=100, name="other")
    head, _, first, *_ = markdown_table([one, other]).splitlines()
    cells = dict(zip(head.split(" | "), first.split(" | "), strict=True))
    for n in (3, 10, 30, 60, 100):
        assert cells[f"n={n}"] == f"{100 * one.summary()[f'best_{n}'].value:.2f}"
    assert cells["Var"] == f"{100 * one.summary()['variance'].value:.2f}"
    compared = markdown_comparison([one, other], one).splitlines()
    assert compared[2].startswith("| one | 1.000 | 1.000 | 1.000 |") and "+0.000 ± 0.000" in compared[2]
    usual = {"variance", "energy", "multiscale_energy", "crps", "spread_skill", "sharpness"}
    usual |= {f"best_{n}" for n in (1, 3, 10, 30, 60, 100)} | {f"coverage_{level}" for level in (50, 80, 90)}
    assert set(one.summary()) == usual <= set(METRICS)
    entry = summaries([one, other], "one")[1]
    assert entry["ratio"]["energy"]["value"] > 1


def test_mistakes_are_named():
    with pytest.raises(ConfigError, match="samples: got 0, expected 1 or more"):
        evaluate(Normal(), pairs(), samples=0)
    with pytest.raises(DataError, match="broken: sample 0 of condition 5 holds values that are not finite"):
        condition, field = pairs()
        condition[5, 0, 2, 2] = math.nan
        evaluate(Normal(), (condition, field), samples=3, name="broken", batch=4)
    with pytest.raises(DataError, match=r"expected \(3, 12, 1, 4, 4\)"):
        evaluate(Normal(), (pairs()[0], pairs(size=4)[1]), samples=3)
    one, other = (evaluate(Normal(), pairs(count), samples=3) for count in (4, 5))
    with pytest.raises(ConfigError, match="scored on different photos"):
        difference(one, other, "energy")
    with pytest.raises(ConfigError, match=r"has no best_100 \(samples per photo: 3\)"):
        difference(one, one, "best_100")
    with pytest.raises(ConfigError, match="metric: got 'es'"):
        ratio(one, one, "es")


def test_without_the_level_a_wrong_one_costs_nothing():
    kept, free = (
        [evaluate(Normal(offset=shift), pairs(), samples=20, level=level) for shift in (0.0, 3.0)]
        for level in (True, False)
    )
    means = [[sum(e.values["energy_1px"]) for e in both] for both in (kept, free)]
    assert means[0][1] > 1.5 * means[0][0] and means[1][1] == pytest.approx(means[1][0], rel=1e-4)
    assert means[1][0] < means[0][0]
