"""``coembed train`` on the real model at a tiny size: presets, options, resume, the model on disk."""

import functools
import json

import pytest
import torch

from coembed.cli import main as cli
from coembed.cli.train import parse_train
from coembed.data.store.store import PairStore, open_pairs
from coembed.errors import ConfigError, TrainingError
from coembed.models.cdvae.config import GaussianTieConfig
from coembed.models.pretrained import from_pretrained
from coembed.models.registry import PRESETS
from coembed.models.sampling_config import SamplingConfig
from coembed.tasks.task import Layer
from coembed.training import checkpoint
from coembed.training.checkpoint import latest
from coembed.training.config import TrainConfig
from coembed.training.run import resolve_model, run_train, sampling_of, split_pairs

SHORT = (
    "--images",
    "640",
    "--batch-size",
    "32",
    "--log-every",
    "160",
    "--validate-every",
    "320",
    "--threads",
    "1",
)

_PAPER = ("condition.hidden=[8,16,32]", "field.hidden=[8,16,32]")
NARROW = {
    "default": ("channels=[8,16]", "hidden=32", "factors=4", "modes=2"),
    "paper-shallow": ("condition.hidden=[32]", "field.hidden=[32]"),
    "paper-gauss": _PAPER,
    "paper-mdn4": (*_PAPER, "tie.hidden=32"),
    "paper-mdn12": (*_PAPER, "tie.hidden=32"),
}
"""Every part of a preset, with fewer units: most of the time would go into their number."""


def narrow(preset):
    return ["--preset", preset, "--model", *NARROW[preset]]


def store(count: int, seed: int) -> PairStore:
    g = torch.Generator().manual_seed(seed)
    condition = torch.rand(count, 1, 8, 8, generator=g)
    field = (condition * torch.rand(count, 1, 1, 1, generator=g)).clamp(0, 1)
    layers = Layer("value", 1, 0.0, 1.0, ""), Layer("saturation", 1, 0.0, 1.0, "")
    return PairStore.from_arrays(condition, field, condition_layer=layers[0], field_layer=layers[1])


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    store(160, 0).save(folder / "train")
    store(32, 1).save(folder / "val")
    return folder


@pytest.fixture(scope="module")
def whole(pairs, tmp_path_factory):
    """The folder of a run that never stopped, trained once a preset and precision."""

    @functools.cache
    def run(preset, precision):
        out = tmp_path_factory.mktemp(f"{preset}-{precision}") / "run"
        options = ["--out", str(out), *narrow(preset), "--precision", precision, *SHORT]
        assert cli.main(["train", "--pairs", str(pairs), *options]) == 0
        return out

    return run


def weights(run):
    names = ("model.safetensors", "ema.safetensors", "optimizer.safetensors")
    return [(latest(run) / name).read_bytes() for name in names]


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_every_preset_trains_logs_and_loads(whole, preset):
    run = whole(preset, "bf16")
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["step"] == 20
    assert last["skipped"] == 0
    parts = {"field", "score"} if preset == "default" else {"distortion_field", "rate_field", "tie"}
    assert parts <= set(last["validation"]) | set(last["train"])
    assert len(last["diagnostics"]["kl_field"]) >= 1
    model = from_pretrained(str(run / "model"))
    condition = torch.rand(3, 1, 8, 8)
    assert model.sample(condition, 2, generator=0).shape == (2, 3, 1, 8, 8)
    assert list((run / "samples").glob("*.png"))


@pytest.mark.parametrize(
    ("preset", "precision"), [*((p, "bf16") for p in sorted(PRESETS)), ("default", "float32")]
)
def test_every_preset_resumes_bit_for_bit(pairs, whole, tmp_path, monkeypatch, preset, precision):
    options = [*SHORT, "--pairs", str(pairs), *narrow(preset), "--precision", precision]
    original, stop = checkpoint.save, [7]

    def save_what_matters(run, state, *rest):
        """Of a checkpoint after every step, writes the seventh, where the run stops, and the last."""
        if state.step in (7, 20):
            original(run, state, *rest)
        if state.step in stop:
            raise KeyboardInterrupt
        return run

    monkeypatch.setattr(checkpoint, "save", save_what_matters)
    with pytest.raises(KeyboardInterrupt):
        run_train(parse_train([*options, "--out", str(tmp_path / "out"), "--checkpoint-minutes", "1e-9"]))
    assert latest(tmp_path / "out").name == "checkpoint-00000007"
    stop.clear()
    run_train(parse_train(["--out", str(tmp_path / "out"), "--resume"]))
    assert latest(tmp_path / "out").name == "checkpoint-00000020"
    assert weights(tmp_path / "out") == weights(whole(preset, precision))


def test_resume_needs_no_option_again_and_refuses_another(pairs, tmp_path):
    out = tmp_path / "out"
    options = [*SHORT, *narrow("default"), "components=3"]
    run_train(parse_train(["--pairs", str(pairs), "--out", str(out), *options]))
    whole = weights(out)
    # Back to the folder of a run killed before its first checkpoint, with a line half written.
    last = latest(out)
    for path in last.iterdir():
        path.unlink()
    last.rmdir()
    (out / "metrics.jsonl").write_text('{"step": 1')
    with pytest.raises(TrainingError, match="the option batch_size was 32 and is now 16"):
        run_train(parse_train(["--out", str(out), "--resume", "--batch-size", "16"]))
    run_train(parse_train(["--out", str(out), "--resume"]))
    assert weights(out) == whole


def test_options_of_the_model_are_checked(pairs):
    opened = PairStore.open(pairs / "train")

    def resolve(*options):
        options = parse_train(
            ["--pairs", str(pairs), "--out", "run", "--preset", "paper-mdn4", "--model", *options]
        )
        return resolve_model(options, opened)[0]

    config = resolve("tie.components=3", "field.codes=[8, 4]", "field.hidden=[8, 8]")
    assert (config.tie.components, config.field.codes) == (3, (8, 4))
    with pytest.raises(ConfigError, match=r"unknown option 'tie.depth', expected one of: family, "):
        resolve("tie.depth=3")
    with pytest.raises(ConfigError, match="model: tie: components: got 'many'"):
        resolve("tie.components=many")
    with pytest.raises(ConfigError, match="expected NAME=VALUE"):
        resolve("tie")


@pytest.mark.parametrize(("limit", "held"), [(1000, 20), (5, 5)])
def test_a_single_store_of_a_hundred_holds_out_every_fifth_pair_or_as_many_as_may_be_looked_at(
    tmp_path, limit, held
):
    one = store(100, 0)
    one.save(tmp_path / "one")
    train, validation = split_pairs(PairStore.open(tmp_path / "one"), tmp_path / "one", limit)
    assert (len(train), len(validation)) == (100 - held, held)
    both = torch.cat([train.field(slice(None)), validation.field(slice(None))]).flatten(1)
    assert len(both.unique(dim=0)) == 100


def test_mirroring_a_motion_is_refused(tmp_path):
    g = torch.Generator().manual_seed(0)
    flow = Layer("flow", 2, -5.0, 5.0, "px/frame")
    moving = PairStore.from_arrays(
        torch.rand(4, 1, 8, 8, generator=g), torch.rand(4, 2, 8, 8, generator=g), field_layer=flow
    )
    moving.save(tmp_path / "flow")
    with pytest.raises(ConfigError, match="--no-flips"):
        run_train(parse_train(["--pairs", str(tmp_path / "flow"), "--out", str(tmp_path / "run")]))


def test_a_motion_whose_index_says_vector_is_trained_on_with_flips(tmp_path):
    g = torch.Generator().manual_seed(0)
    flow = Layer("flow", 2, -5.0, 5.0, "px/frame", vector=True)
    c, f = torch.rand(4, 1, 8, 8, generator=g), torch.rand(4, 2, 8, 8, generator=g)
    PairStore.from_arrays(c, f, field_layer=flow).save(tmp_path / "flow")
    run_train(parse_train(["--pairs", str(tmp_path / "flow"), "--out", str(tmp_path / "run"), "--dry-run"]))


def test_another_family_of_tie_and_temperatures_are_understood(pairs):
    store = open_pairs(pairs, "train")
    options = ("tie.family=gaussian", "tie.layers=top", "sampling.temperatures=[0.9, 1, 1]")
    found, _ = resolve_model(TrainConfig(str(pairs), "unused", preset="paper-mdn4", model=options), store)
    assert isinstance(found.tie, GaussianTieConfig) and found.tie.layers == "top"
    assert sampling_of(options) == SamplingConfig((0.9, 1, 1))
    with pytest.raises(ConfigError, match=r"got .box., expected one of none, gaussian"):
        resolve_model(TrainConfig(str(pairs), "x", preset="paper-mdn4", model=("tie.family=box",)), store)
