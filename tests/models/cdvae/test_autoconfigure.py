"""What the preset ``default`` makes of pairs: known truths in, and tiny sets that must not diverge."""

import dataclasses
import math

import pytest
import torch

from coembed.data.pairs import Subset
from coembed.data.store.store import PairStore
from coembed.evaluation.evaluate import evaluate
from coembed.models.cdvae.autoconfigure import MANY, adapt, autoconfigure
from coembed.models.cdvae.dataset_stats import DatasetStats, gather
from coembed.models.cdvae.presets import preset
from coembed.models.pretrained import from_pretrained
from coembed.models.registry import fit_closed_form
from coembed.training.config import TrainConfig
from coembed.training.run import resolve_model, run_train, split_pairs

SHAPE = (1, 8, 8)


def smooth(count, generator, size=8):
    """Random fields of a few waves, (count, 1, size, size), unit variance."""
    grid = torch.arange(size) / size * 2 * math.pi
    waves = torch.stack([f(k * grid) for k in range(3) for f in (torch.cos, torch.sin)])[[0, 2, 3, 4]]
    codes = torch.randn(count, len(waves), len(waves), generator=generator)
    fields = torch.einsum("nij,iy,jx->nyx", codes, waves, waves)[:, None]
    return fields / fields.std()


def pairs(count, *, known=0.5, noise=smooth, seed=0, names=None):
    """Fields of which the condition decides a share ``known`` of the variance."""
    generator = torch.Generator().manual_seed(seed)
    condition = smooth(count, generator)
    field = math.sqrt(known) * condition.flip(-1) + math.sqrt(1 - known) * noise(count, generator)
    return PairStore.from_arrays(condition, field, names=names)


def found_in(store, **options):
    found = gather(store, rank=16, seed=0, **options)
    assert found is not None
    return found


def heavy(count, generator):
    fields = smooth(count, generator) * torch.randn(count, 1, 1, 1, generator=generator).mul(1.5).exp()
    return fields / fields.std()


def test_what_ridge_regression_explains_is_found_on_scenes_held_out():
    half, nothing = (found_in(pairs(1500, known=known)) for known in (0.5, 0.0))
    assert half.explained == pytest.approx(0.5, abs=0.05)
    assert half.ridge < 0.1
    assert nothing.explained < 0.01
    assert nothing.ridge > 1
    assert (half.field_scale, half.gain) == (0.0, 1.0)


def test_heavy_tails_are_seen_and_their_scale_is_that_of_the_field():
    found = found_in(pairs(800, known=0.0, noise=heavy))
    assert found.kurtosis > 10
    assert found.field_scale == pytest.approx(2, rel=0.2)
    assert found.gain < 1


def test_views_tell_nothing_about_other_scenes():
    """Thirty scenes, each seen forty times with one field: learned by heart, nothing is known of a new one."""
    generator = torch.Generator().manual_seed(0)
    scene = torch.arange(30).repeat_interleave(40)
    condition = smooth(30, generator)[scene] + 0.05 * smooth(1200, generator)
    field = smooth(30, generator)[scene]
    store = PairStore.from_arrays(
        condition, field, names=[f"{s}.jpg#{i}" for i, s in enumerate(scene.tolist())]
    )
    found = found_in(store, names=store.names)
    assert (found.pairs, found.groups) == (1200, 30)
    assert found.explained < 0.1
    assert found_in(store).explained > 0.5  # what is not told by names can't be known


def test_the_same_seed_finds_the_same():
    store = pairs(600)
    assert gather(store, rank=16, seed=3) == gather(store, rank=16, seed=3)


@pytest.mark.parametrize("count", [0, 1, 9])
def test_so_few_pairs_say_nothing(count):
    store = pairs(20)
    assert gather(Subset(store, torch.arange(count)), rank=16, seed=0) is None


MUCH = DatasetStats(120_000, 30_000, 30_000, 0.05, 0.2, 5.0, 0.0, 1.0)


def test_many_scenes_keep_the_preset_but_for_its_ridge():
    base = preset("default", (1, 32, 32), (1, 32, 32))
    config, reasons = adapt(base, MUCH)
    assert base.regression is not None
    assert config == dataclasses.replace(base, regression=dataclasses.replace(base.regression, ridge=0.2))
    assert len(reasons) == 1


@pytest.mark.parametrize("scenes", [10, 63, 300, MANY - 1])
@pytest.mark.parametrize("shape", [(1, 32, 32), (2, 6, 6), (1, 1, 1)])
def test_few_scenes_never_set_more_codes_than_they_can(scenes, shape):
    from coembed.models.cdvae.model import CDVAE

    config, _ = adapt(
        preset("default", (3, *shape[1:]), shape), DatasetStats(scenes, scenes, scenes, 0, 9, 30, 0.1, 0.9)
    )
    assert sum(config.field.codes) <= max(1, scenes // 4)
    assert sum(config.condition.codes) <= max(1, scenes // 4)
    assert config.tie.components <= scenes
    assert config.regression is not None
    small = 16 if scenes >= 200 and shape == (1, 32, 32) else 0
    assert (config.regression.channels, config.tie.refine, config.field_scale) == (small, 0, 0.1)
    assert config.regression.patch_rank <= max(4, scenes // 50)
    CDVAE(config)  # its parts fit each other


@pytest.mark.parametrize("count", [12, 78])
def test_tiny_sets_do_not_diverge_and_are_about_as_good_as_a_linear_gaussian(tmp_path, count):
    pairs(count).save(tmp_path / "pairs")
    new = pairs(64, seed=1)
    run_train(
        TrainConfig(
            str(tmp_path / "pairs"),
            str(tmp_path / "run"),
            images=2000,
            batch_size=64,
            threads=1,
            precision="float32",
        )
    )
    model = from_pretrained(tmp_path / "run" / "model")
    scores = [evaluate(model, new, samples=20).summary()["energy"].value]
    store = PairStore.open(tmp_path / "pairs")
    train, _ = split_pairs(store, tmp_path / "pairs", 1000)
    if len(train) >= 20:  # it needs as many
        scores.append(
            evaluate(fit_closed_form("linear-gaussian", train), new, samples=20).summary()["energy"].value
        )
    field = new.field(slice(None))
    scores.append(float((field - store.field(slice(None)).mean(0)).flatten(1).norm(dim=1).mean()))
    assert scores[0] < 1.03 * min(scores[1:])


def test_options_win_and_what_was_chosen_is_recorded_and_kept_on_resume(tmp_path):
    from coembed.serialization import read_json

    pairs(60).save(tmp_path / "pairs")
    options = TrainConfig(
        str(tmp_path / "pairs"), str(tmp_path / "run"), images=64, model=("tie.components=3",)
    )
    chosen, reasons = resolve_model(options, PairStore.open(tmp_path / "pairs"))
    assert chosen.tie.components == 3
    assert chosen.field.codes != preset("default", SHAPE, SHAPE).field.codes
    plain, none = resolve_model(dataclasses.replace(options, adapt=False), PairStore.open(tmp_path / "pairs"))
    assert (plain.field.codes, none) == (preset("default", SHAPE, SHAPE).field.codes, ())
    assert any("codes" in reason for reason in reasons)
    run_train(dataclasses.replace(options, threads=1))
    record = read_json(tmp_path / "run" / "run.json")
    assert record["fitted"][0].startswith("48 pairs of 48 scenes")
    resumed, said = resolve_model(dataclasses.replace(options, resume=True), PairStore.open(tmp_path / "pairs"))
    assert (list(resumed.field.codes), said) == (record["model"]["field"]["codes"], ())


def test_the_fit_takes_the_names_of_the_pairs_it_is_given():
    store = pairs(400, names=[f"clip{i // 20}.mp4@{i % 20}" for i in range(400)])
    fitted = autoconfigure(preset("default", SHAPE, SHAPE), store, names=store.names)
    assert fitted.stats is not None
    assert (fitted.stats.groups, fitted.stats.scenes) == (20, 400)
