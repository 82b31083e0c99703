import json

import pytest
import torch

from coembed.cli.evaluate import EvaluateConfig, run_evaluate
from coembed.data.store.store import PairStore
from coembed.errors import ConfigError, DataError
from coembed.models import pretrained as hub
from coembed.models.registry import SIMPLE, fit_closed_form


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Pairs on disk, and a hub whose one model draws training fields."""
    g = torch.Generator().manual_seed(0)
    for split, count in (("train", 40), ("val", 12)):
        condition = torch.rand(count, 1, 8, 8, generator=g)
        field = (condition + torch.rand(count, 1, 8, 8, generator=g)) / 2
        PairStore.from_arrays(condition, field).save(tmp_path / "pairs" / split)
    train = PairStore.open(tmp_path / "pairs" / "train")
    monkeypatch.setattr(hub, "from_pretrained", lambda name: fit_closed_form("random", train))
    return tmp_path


def test_a_model_and_the_simple_samplers_end_in_one_json(folder, capsys):
    path = folder / "out.json"
    config = EvaluateConfig("runs/mine", str(folder / "pairs"), samples=10, baselines=True, json=str(path))
    evaluations = run_evaluate(config)
    assert [e.name for e in evaluations] == ["mine", *SIMPLE]
    assert "energy score x" in capsys.readouterr().out
    data = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert [s["name"] for s in data["samplers"]] == ["mine", *SIMPLE]
    assert data["samplers"][2]["ratio"]["energy"]["value"] == 1
    assert len(data["per_photo"]["mine"]["energy_1px"]) == len(data["photos"]) == 12
    by_name = {s["name"]: s["summary"] for s in data["samplers"]}
    # Here the field follows the condition, so the simple sampler that uses it must win.
    assert by_name["linear-Gaussian"]["energy"]["value"] < by_name["random fields"]["energy"]["value"]
    assert by_name["mine"]["energy"] == by_name["random fields"]["energy"]


def test_everything_asked_for_is_on_screen_and_in_the_files(folder, capsys):
    paths = {option: str(folder / f"out.{option}") for option in ("json", "csv", "latex")}
    config = EvaluateConfig(
        "mine",
        str(folder / "pairs"),
        samples=5,
        baselines=True,
        scores="full",
        particles=3,
        intervals=True,
        **paths,
    )
    run_evaluate(config)
    shown = " ".join(capsys.readouterr().out.split())
    assert "novelty" in shown and "real pairs" in shown and "-log p(field | condition), 12 photos" in shown
    data = json.loads((folder / "out.json").read_text(), parse_constant=pytest.fail)
    assert data["intervals"]["mine"]["crps"]["low"] < data["samplers"][0]["summary"]["crps"]["value"]
    compared = {(c["other"], c["metric"]) for c in data["comparisons"]}
    assert ("linear-Gaussian", "energy") in compared and ("linear-Gaussian", "variogram") in compared
    assert [entry["name"] for entry in data["likelihood"]] == ["linear-Gaussian"]
    assert data["likelihood"][0]["exact"] and len(data["likelihood"][0]["bound_per_photo"]) == 12
    assert data["samplers"][0]["summary"]["novelty"]["value"] < 0.01  # training fields, clipped
    rows = (folder / "out.csv").read_text().splitlines()
    assert len(rows) == 1 + 1 + len(SIMPLE) and "nll_bits_per_dim" in rows[0]
    assert "\\midrule" in (folder / "out.latex").read_text()


def test_a_second_model_is_compared_photo_by_photo(folder, capsys):
    path = folder / "out.json"
    pairs = str(folder / "pairs" / "val")
    config = EvaluateConfig("runs/mine", pairs, against="other/mine", samples=4, json=str(path))
    assert [e.name for e in run_evaluate(config)] == ["mine", "other/mine"]
    assert "mine less other/mine, energy: +0" in capsys.readouterr().out
    found = {c["metric"]: c for c in json.loads(path.read_text())["comparisons"]}
    assert found["energy"]["difference"]["high"] == 0 and found["energy"]["wins"] == 0.5
    assert "spread_skill" in found and "epe_1" not in found


def test_without_baselines_the_training_pairs_are_not_needed(folder):
    pairs = str(folder / "pairs" / "val")
    assert len(run_evaluate(EvaluateConfig("mine", pairs, samples=3, limit=5))) == 1
    with pytest.raises(DataError, match="--baselines needs a folder that holds train/ and val/"):
        run_evaluate(EvaluateConfig("mine", pairs, samples=3, baselines=True))


def test_mistakes_are_found_before_the_work(folder):
    with pytest.raises(ConfigError, match=r"json: .*lies in a folder that does not exist"):
        run_evaluate(EvaluateConfig("mine", str(folder / "pairs"), json=str(folder / "no" / "out.json")))
    with pytest.raises(ConfigError, match="samples: got 0, expected 1 or more"):
        EvaluateConfig("mine", "pairs", samples=0)
