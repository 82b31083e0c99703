"""Temperatures are fitted by a proper score, not on the pairs they are judged by, and travel with the model."""

import math

import pytest
import torch

from coembed.cli.calibrate import CalibrateConfig, run_calibrate
from coembed.data.pairs import Subset
from coembed.data.store.store import PairStore, open_pairs
from coembed.errors import ConfigError, DataError, ModelError
from coembed.evaluation.evaluate import evaluate
from coembed.evaluation.results import difference
from coembed.evaluation.temperature import Judged, fit_temperatures, halves, judge
from coembed.models.cdvae.config import CDVAEConfig, LadderConfig, NoTieConfig
from coembed.models.cdvae.model import CDVAE
from coembed.models.files import save_pretrained
from coembed.models.pretrained import from_pretrained


def fields(count, seed):
    """Eight smooth directions and a little noise: what two layers of principal components hold exactly."""
    g = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(64, 8, generator=g))[0]
    g.manual_seed(seed)
    codes = torch.randn(count, 8, generator=g) * torch.linspace(4, 1, 8)
    return (codes @ basis.T + 0.05 * torch.randn(count, 64, generator=g)).view(count, 1, 8, 8)


@pytest.fixture
def folder(tmp_path):
    condition = torch.rand(400, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    field = fields(400, 1)
    PairStore.from_arrays(condition, field).save(tmp_path / "pairs" / "val")
    ladder = LadderConfig("linear", (3, 5), (), sigma=0.1)
    config = CDVAEConfig((1, 8, 8), (1, 8, 8), ladder, ladder, NoTieConfig())
    model = CDVAE(config).with_sampling(temperatures=(0.4, 1.8))
    model.initialise(torch.rand(4000, 1, 8, 8, generator=torch.Generator().manual_seed(3)), fields(4000, 2))
    save_pretrained(model, tmp_path / "model", task="toys", card="# Toys\n\nA model of toys.\n")
    return tmp_path


@pytest.mark.parametrize(("tolerance", "near"), [(0.0, 0.15), (0.01, 0.25)])  # the score alone; the default
def test_a_wrong_spread_is_found_and_mended(folder, capsys, tolerance, near):
    paths = (str(folder / name) for name in ("model", "pairs", "out"))
    config = CalibrateConfig(*paths, samples=8, tolerance=tolerance)
    found = run_calibrate(config)
    assert found.before == (0.4, 1.8)
    assert found.after == pytest.approx((1.0, 1.0), abs=near)
    before, after = (e.summary() for e in found.scores)
    apart = difference(found.scores[1], found.scores[0], "multiscale_energy")
    assert apart.value < -2 * apart.error  # type: ignore[operator]
    assert abs(after["spread_skill"].value - 1) < 0.06 < abs(before["spread_skill"].value - 1)
    written = from_pretrained(folder / "out")
    assert written.sampling.default.temperatures == found.after
    started = from_pretrained(folder / "model").state_dict()
    assert all(torch.equal(value, started[name]) for name, value in written.state_dict().items())
    card = (folder / "out" / "README.md").read_text()
    assert card.startswith("# Toys") and "## Calibration" in card and str(list(found.after)) in card
    assert card.split("## Calibration")[1].strip() in capsys.readouterr().out
    assert sorted(p.name for p in folder.iterdir()) == ["model", "out", "pairs"]
    with pytest.raises(ConfigError, match=r"out: .* is there already, expected a new or empty folder"):
        run_calibrate(config)


def test_beside_keeps_the_models_own_way_to_draw(folder):
    own = from_pretrained(folder / "model")
    smooth = own.with_sampling(temperatures=(1.2, 0.0), n_active_dims=2)
    save_pretrained(smooth, folder / "smooth", task="toys", card="# Toys\n")
    with pytest.raises(ModelError, match="smooth:calibrated: has no profile 'calibrated', only default; `coem"):
        from_pretrained(f"{folder / 'smooth'}:calibrated")
    paths = (str(folder / name) for name in ("smooth", "pairs", "out"))
    found = run_calibrate(CalibrateConfig(*paths, samples=8, beside=True))
    assert found.after == pytest.approx((1.0, 1.0), abs=0.25)
    written = from_pretrained(folder / "out")
    assert written.sampling == smooth.sampling.with_profile("calibrated", temperatures=found.after)
    calibrated = from_pretrained(f"{folder / 'out'}:calibrated")
    condition = torch.rand(3, 1, 8, 8)
    wanted = own.with_sampling(temperatures=found.after).sample(condition, 4, generator=0)
    assert torch.equal(calibrated.sample(condition, 4, generator=0), wanted)
    assert not torch.equal(written.sample(condition, 4, generator=0), wanted)


def test_the_search_ends_at_the_least_score_and_asks_for_none_twice():
    asked = []

    def score(temperatures):
        asked.append(temperatures)
        a, b = temperatures
        return (a - 0.85) ** 2 + (b - 2.4) ** 2 + 0.3 * (a - 0.85) * (b - 2.4)

    best = fit_temperatures(score, (1.0, 0.5))
    assert best[1] == 2.0  # the highest there is
    assert best[0] == pytest.approx(0.85 + 0.15 * 0.4, abs=0.026)
    assert len(asked) == len(set(asked)) < 40
    assert fit_temperatures(lambda t: t[0], (0.1,)) == (0.0,)


def test_views_of_a_photo_stay_on_one_side():
    names = [f"{photo}.jpg#{view}" for photo in range(10) for view in range(3)]
    blank = torch.rand(30, 1, 2, 2)
    store = PairStore.from_arrays(blank, blank, names=names)
    one, other = halves(store, 18)
    assert one.indices.tolist() == [12, 13, 14, 18, 19, 20, 24, 25, 26]
    assert other.indices.tolist() == [15, 16, 17, 21, 22, 23, 27, 28, 29]
    with pytest.raises(DataError, match="fewer than 2 scenes"):
        halves(PairStore.from_arrays(blank[:1], blank[:1]), 5)


def test_a_model_without_codes_is_refused(folder, tiny):
    save_pretrained(tiny, folder / "tiny", task="toys")
    with pytest.raises(ModelError, match="is a Tiny, expected a model with layers of codes"):
        run_calibrate(CalibrateConfig(str(folder / "tiny"), str(folder / "pairs"), str(folder / "out")))


def test_where_the_score_is_flat_sharpness_and_spread_decide():
    right, rough, narrow = Judged(5.0, 1.0, 1.0), Judged(4.99, 2.0, 1.0), Judged(4.99, 1.0, 0.5)
    assert rough.cost(0.0) < right.cost(0.0) == 5.0
    assert right.cost(0.01) == 5.0 < min(rough.cost(0.01), narrow.cost(0.01))
    assert rough.cost(0.01) == pytest.approx(4.99 * (1 + 0.01 * math.log(2)))
    better = Judged(4.8, 2.0, 0.5)  # what the score does see is worth more
    assert better.cost(0.01) < right.cost(0.01)
    assert Judged(5.0, 0.0, 0.0).cost(0.01) == pytest.approx(5.1)  # at most so much, however wrong


def test_samples_are_judged_as_evaluation_judges_them(folder):
    model, pairs = from_pretrained(folder / "model"), open_pairs(folder / "pairs", "val")
    found = judge(model, (0.4, 1.8), Subset(pairs, torch.arange(40)), samples=12, seed=3)
    wanted = evaluate(model, pairs, limit=40, samples=12, seed=3).summary()
    assert found.energy == pytest.approx(wanted["multiscale_energy"].value, rel=1e-4)
    assert found.sharpness == pytest.approx(wanted["sharpness"].value, rel=1e-4)
    assert found.spread_skill == pytest.approx(wanted["spread_skill"].value, rel=1e-4)


def test_options_out_of_range():
    with pytest.raises(ConfigError, match="tolerance: got -1, expected 0 to 1"):
        CalibrateConfig("model", "pairs", "out", tolerance=-1)
    with pytest.raises(ConfigError, match="samples: got 1, expected 2 or more"):
        CalibrateConfig("model", "pairs", "out", samples=1)
