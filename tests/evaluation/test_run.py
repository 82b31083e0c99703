import json

import pytest
import torch

from coembed import hub
from coembed.baselines.random_fields import RandomFields
from coembed.baselines.simple import SIMPLE
from coembed.data.shards import PairStore
from coembed.errors import ConfigError, DataError
from coembed.evaluation.options import EvaluateConfig
from coembed.evaluation.run import run_evaluate


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Pairs on disk, and a hub whose one model draws training fields."""
    g = torch.Generator().manual_seed(0)
    for split, count in (("train", 40), ("val", 12)):
        condition = torch.rand(count, 1, 8, 8, generator=g)
        field = (condition + torch.rand(count, 1, 8, 8, generator=g)) / 2
        PairStore.from_arrays(condition, field).save(tmp_path / "pairs" / split)
    train = PairStore.open(tmp_path / "pairs" / "train")
    monkeypatch.setattr(hub, "from_pretrained", lambda name: RandomFields.fit(train))
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
