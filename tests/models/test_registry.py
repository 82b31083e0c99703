"""Every baseline by ``coembed train --preset``: trains, saves, loads and evaluates, any shape."""

import json

import numpy as np
import pytest
import torch

from coembed.cli import main as cli
from coembed.cli.train import parse_train
from coembed.data.pairs import TensorPairs
from coembed.data.store.store import PairStore
from coembed.errors import ConfigError, DataError, TrainingError
from coembed.models.baselines.nearest import NearestConfig, NearestNeighbours
from coembed.models.pretrained import load_pretrained
from coembed.models.registry import BASELINES, fit_closed_form
from coembed.tasks.task import Layer
from coembed.training.run import run_train

SHORT = [
    "--images",
    "96",
    "--batch-size",
    "32",
    "--log-every",
    "32",
    "--validate-every",
    "96",
    "--threads",
    "1",
]
SHAPES = {"one": (1, 1, 8), "motion": (3, 2, 12), "colours": (2, 3, 9)}


def write_pairs(folder, name):
    c, f, size = SHAPES[name]
    g = torch.Generator().manual_seed(0)
    for split, count in (("train", 64), ("val", 12)):
        condition = torch.rand(count, c, size, size, generator=g)
        shown = condition.mean(1, keepdim=True).expand(-1, f, -1, -1)
        field = (shown * torch.rand(count, f, 1, 1, generator=g)).contiguous()
        layers = Layer("light", c, 0.0, 1.0, ""), Layer("other", f, 0.0, 1.0, "")
        store = PairStore.from_arrays(condition, field, condition_layer=layers[0], field_layer=layers[1])
        store.save(folder / split)
    return folder


@pytest.fixture(scope="module", params=SHAPES)
def pairs(request, tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module")
def simple(tmp_path_factory):
    return write_pairs(tmp_path_factory.mktemp("simple"), "one")


def source(preset, pairs, tmp_path):
    """What a space of its own needs beside pairs."""
    if preset == "nearest-codes":
        arguments = ["--pairs", str(pairs), "--out", str(tmp_path / "of"), "--preset", "paper-shallow", *SHORT]
        run_train(parse_train(arguments))
        return ["--model", f"source={tmp_path / 'of'}"]
    if preset == "nearest-features":
        store = PairStore.open(pairs / "train")
        np.save(tmp_path / "features.npy", store.condition(slice(None)).mean((2, 3)).numpy())
        return ["--model", f"source={tmp_path / 'features.npy'}"]
    return []


@pytest.mark.parametrize("preset", BASELINES)
def test_it_trains_saves_loads_and_evaluates(pairs, tmp_path, preset):
    run = tmp_path / "run"
    train = ["train", "--pairs", str(pairs), "--out", str(run), "--preset", preset, *SHORT]
    assert cli.main([*train, *source(preset, pairs, tmp_path)]) == 0
    assert list((run / "samples").glob("*.png"))
    store = PairStore.open(pairs / "val")
    model = load_pretrained(run).model
    drawn = model.sample(store.condition(slice(None)), 5, generator=0)
    assert drawn.shape == (5, *store.field(slice(None)).shape) and drawn.isfinite().all()
    again = load_pretrained(run).model
    assert torch.equal(again.sample(store.condition(slice(None)), 5, generator=0), drawn)
    out = tmp_path / "scores.json"
    evaluate = ["evaluate", str(run), "--pairs", str(pairs), "--samples", "5", "--json", str(out)]
    assert cli.main([*evaluate, "--threads", "1"]) == 0
    assert json.loads(out.read_text())["samplers"][0]["conditions"] == 12


@pytest.mark.parametrize("preset", ["nearest", "linear-gaussian"])
def test_a_saved_one_draws_as_the_sampler_it_was_fitted_as(simple, tmp_path, preset):
    run_train(parse_train(["--pairs", str(simple), "--out", str(tmp_path / "run"), "--preset", preset]))
    model = load_pretrained(tmp_path / "run").model
    train, val = (PairStore.open(simple / split) for split in ("train", "val"))
    condition, field = val.condition(slice(None)), val.field(slice(None))
    if preset == "nearest":
        fitted = fit_closed_form("nearest", train, smoothing=model.config.smoothing)
    else:
        fitted = fit_closed_form("linear-gaussian", train)
        wanted = fitted.log_prob(condition, field)
        torch.testing.assert_close(model.log_prob(condition, field), wanted, rtol=1e-4, atol=1e-2)
    torch.testing.assert_close(
        model.sample(condition, 6, generator=3), fitted.sample(condition, 6, generator=3), rtol=0, atol=1e-5
    )


def test_likeness_in_feature_space_looks_at_the_features_alone(simple):
    """Features are the mean brightness: the nearest pair is the one of nearest brightness."""

    g = torch.Generator().manual_seed(0)
    level = torch.rand(200, 1, 1, 1, generator=g)
    condition = level + 0.3 * (torch.rand(200, 1, 8, 8, generator=g) - 0.5)
    field = level.expand(-1, -1, 8, 8).contiguous()
    config = NearestConfig((1, 8, 8), (1, 8, 8), space="features", smoothing=0.0)
    brightness = condition.mean((1, 2, 3))[:, None]
    model = NearestNeighbours.with_features(config, TensorPairs(condition, field), brightness)
    query = 0.5 + 0.3 * (torch.rand(5, 1, 8, 8, generator=g) - 0.5)
    found = model.sample(query, 1, generator=0)[0].mean((1, 2, 3))
    torch.testing.assert_close(found, query.mean((1, 2, 3)), rtol=0, atol=0.03)


def test_a_space_without_its_source_and_a_matrix_of_other_pairs_are_refused(simple, tmp_path):
    arguments = ["--pairs", str(simple), "--out", str(tmp_path / "run")]
    with pytest.raises(ConfigError, match="--model source=RUN"):
        run_train(parse_train([*arguments, "--preset", "nearest-codes"]))
    for path in (tmp_path / "run").iterdir():
        path.unlink()
    np.save(tmp_path / "few.npy", np.zeros((3, 2), np.float32))
    few = ["--preset", "nearest-features", "--model", f"source={tmp_path / 'few.npy'}"]
    with pytest.raises(DataError, match=r"shape \(3, 2\), expected \(64, d\)"):
        run_train(parse_train([*arguments, *few]))


def test_a_fitted_run_is_not_overwritten_and_resumes_at_once(simple, tmp_path):
    options = ["--pairs", str(simple), "--out", str(tmp_path / "run"), "--preset", "random"]
    folder = run_train(parse_train(options))
    before = (folder / "model.safetensors").stat().st_mtime_ns
    with pytest.raises(TrainingError, match="already has a run"):
        run_train(parse_train(options))
    assert run_train(parse_train(["--out", str(tmp_path / "run"), "--resume"])) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == before


def test_fields_are_held_in_half_precision_only_where_that_loses_nothing():
    condition, exact = torch.rand(8, 1, 4, 4), torch.rand(8, 1, 4, 4).half().float()
    assert fit_closed_form("random", (condition, exact)).field.dtype == torch.float16
    assert fit_closed_form("random", (condition, exact + 1e-6)).field.dtype == torch.float32


def test_an_unknown_preset_names_them_all(simple, tmp_path):
    with pytest.raises(ConfigError, match=r"expected one of default, .*, cvae, cvae-plus, .*linear-gaussian"):
        run_train(parse_train(["--pairs", str(simple), "--out", str(tmp_path / "run"), "--preset", "gan"]))
