"""Targets of codes and what training makes of them, on the real model at a tiny size."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from coembed.cli.train import parse_train
from coembed.data.similarity.embedding import Targets
from coembed.data.store.store import PairStore, open_pairs
from coembed.errors import ConfigError, TrainingError
from coembed.models.cdvae.model import CDVAE
from coembed.models.cdvae.presets import preset
from coembed.training.config import GuidanceConfig, TrainConfig
from coembed.training.guidance import FILE, Guide, allocate, store_guide
from coembed.training.run import run_train


def test_the_distance_is_measured_layer_by_layer_in_prior_deviations():
    targets = Targets(np.ones((1, 4, 5), np.float32), np.zeros((1, 4, 5), np.float32), np.ones(5))
    scales = ([torch.full((3,), 0.5), torch.ones(9)], [torch.ones(3), torch.ones(9)])
    guide = Guide(GuidanceConfig(weight=10.0, sides="condition"), targets, scales)
    rows = torch.tensor([2, 0])
    means = [torch.full((2, 3), 0.5), torch.cat([torch.full((2, 2), 3.0), torch.full((2, 7), 99.0)], 1)]
    # Three dimensions at their target, two of the next code two deviations off, the rest not guided.
    assert guide.distance("condition", means, rows, None).tolist() == pytest.approx([8 / 5, 8 / 5])
    assert guide.at(0.0, rows, None)((means, means)).tolist() == pytest.approx([16.0, 16.0])
    assert guide.at(0.5, rows, None)((means, means)).tolist() == [0.0, 0.0]
    assert allocate([16, 32], 24, "top") == [16, 0]


def test_a_map_is_guided_by_its_sums_which_have_the_priors_deviation():
    targets = Targets(np.zeros((1, 1, 2), np.float32), np.zeros((1, 1, 2), np.float32), np.ones(2))
    guide = Guide(GuidanceConfig(weight=1.0), targets)
    codes = torch.randn(20_000, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    rows = torch.zeros(20_000, dtype=torch.long)
    assert float(guide.distance("field", [codes], rows, None).mean()) == pytest.approx(1.0, abs=0.02)


def test_scales_of_a_gaussian_tie_are_those_of_its_marginals():
    model = CDVAE(preset("paper-gauss", (1, 8, 8), (1, 8, 8)))
    top = model.latent_scales()[0][0]
    assert top[0] == pytest.approx(((1 + 0.09) / (2 + 0.09)) ** 0.5) and top[-1] == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"weight": -1.0}, "guidance.weight: got -1.0"),
        ({"weight": 1.0, "floor": 2.0}, "guidance.floor: got 2.0"),
        ({"cool": 1.5}, "guidance.cool: got 1.5"),
        ({"components": 0}, "guidance.components: got 0"),
        ({"clip": 0.0}, "guidance.clip: got 0"),
        ({"temperature": 0.0}, "guidance.temperature: got 0"),
        ({"label": float("inf")}, "guidance.label: got inf"),
    ],
)
def test_wrong_options_are_named(options, words):
    with pytest.raises(ConfigError, match=words):
        GuidanceConfig(**options)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    g = torch.Generator().manual_seed(0)
    for name, count in (("train", 192), ("val", 32)):
        condition = torch.rand(count, 1, 8, 8, generator=g)
        field = (condition * torch.rand(count, 1, 1, 1, generator=g)).clamp(0, 1)
        names = [f"v_{'ABC'[i % 3]}_g01_c{i // 4:02d}.avi@{i}" for i in range(count)]
        PairStore.from_arrays(condition, field, names=names).save(folder / name)
    return folder


def options(pairs: Path, out: Path, *more: str) -> TrainConfig:
    short = (
        "--images 640 --batch-size 32 --log-every 160 --validate-every 1000 --threads 1 --learning-rate 0.01"
    )
    small = [f"{side}.{part}=[16]" for side in ("condition", "field") for part in ("codes", "hidden")]
    places = ["--pairs", str(pairs), "--out", str(out), "--preset", "paper-shallow"]
    return parse_train([*places, *short.split(), "--model", *small, *more])


GUIDED = ("--guidance.weight", "200", "--guidance.components", "8", "--guidance.cool", "1.0")


def losses(out: Path, name: str) -> list[float]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [line["train"].get(name) for line in lines if "train" in line]


def weights(out: Path) -> bytes:
    return (out / "model" / "model.safetensors").read_bytes()


def test_guidance_draws_codes_to_their_targets_and_is_gone_afterwards(pairs, tmp_path):
    run_train(options(pairs, tmp_path / "plain"))
    run_train(options(pairs, tmp_path / "guided", *GUIDED, "--guidance.floor", "200"))
    assert losses(tmp_path / "plain", "guidance") == [None] * 4
    fell = losses(tmp_path / "guided", "guidance")
    assert fell[-1] < 0.9 * fell[0]
    assert not (tmp_path / "plain" / FILE).exists()
    files = {p.name for p in (tmp_path / "guided" / "model").iterdir()}
    assert files == {p.name for p in (tmp_path / "plain" / "model").iterdir()}


def test_a_guided_run_stopped_and_resumed_ends_in_the_same_bytes(pairs, tmp_path, monkeypatch):
    run_train(options(pairs, tmp_path / "whole", *GUIDED))
    at, steps = Guide.at, []

    def stopping(self, progress, rows, mirrored):
        steps.append(progress)
        if len(steps) == 17:
            raise KeyboardInterrupt
        return at(self, progress, rows, mirrored)

    monkeypatch.setattr(Guide, "at", stopping)
    often = ("--checkpoint-minutes", "1e-9")
    with pytest.raises(KeyboardInterrupt):
        run_train(options(pairs, tmp_path / "stopped", *GUIDED, *often))
    # The targets are read back, not made again.
    monkeypatch.setattr("coembed.training.guidance.store_guide", None)
    run_train(parse_train(["--pairs", str(pairs), "--out", str(tmp_path / "stopped"), "--resume"]))
    assert weights(tmp_path / "stopped") == weights(tmp_path / "whole")


def test_targets_of_other_pairs_are_refused(pairs, tmp_path):
    store = open_pairs(pairs, "train")
    config = GuidanceConfig(weight=1.0, components=4, pixels=0.0)
    guide = store_guide(store, np.arange(100), config, flips=False)
    guide.save(tmp_path)
    assert len(Guide.load(tmp_path, config, 100)) == 100
    with pytest.raises(TrainingError, match=r"expected targets of 192 training pairs"):
        Guide.load(tmp_path, config, 192)
    (tmp_path / FILE).write_bytes(b"")
    with pytest.raises(TrainingError, match=FILE):
        Guide.load(tmp_path, config, 100)


def test_a_run_begun_before_guidance_was_an_option_can_be_resumed(pairs, tmp_path):
    run_train(options(pairs, tmp_path / "run"))
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    del record["train"]["guidance"]
    (tmp_path / "run" / "run.json").write_text(json.dumps(record))
    run_train(parse_train(["--pairs", str(pairs), "--out", str(tmp_path / "run"), "--resume"]))
    with pytest.raises(TrainingError, match="option guidance was"):
        run_train(parse_train(["--pairs", str(pairs), "--out", str(tmp_path / "run"), "--resume", *GUIDED]))


def test_a_model_without_codes_cannot_be_guided(pairs, tmp_path):
    with pytest.raises(ConfigError, match="no codes to guide"):
        run_train(parse_train(["--pairs", str(pairs), "--out", str(tmp_path), "--preset", "cvae", *GUIDED]))
