"""``coembed leak`` and ``evaluate --photos``: slopes and gains in a table and a file; wrong input is named."""

import json

import numpy as np
import pytest
from PIL import Image

from coembed.cli.evaluate import EvaluateConfig, run_evaluate
from coembed.cli.leak import LeakConfig, photos_of, run
from coembed.cli.prepare import run_prepare
from coembed.cli.prepare_options import PrepareCoco
from coembed.data.store.store import open_pairs
from coembed.errors import ConfigError, DataError
from coembed.models.files import save_pretrained
from coembed.models.registry import fit_closed_form


@pytest.fixture(scope="module")
def coco(tmp_path_factory):
    """Photos in the MS-COCO layout, their pairs, and a model of them."""
    root = tmp_path_factory.mktemp("leak")
    for split, count in (("train2014", 24), ("val2014", 6)):
        (root / "coco" / split).mkdir(parents=True)
        for i in range(count):
            rough = np.random.default_rng((count, i)).integers(0, 256, (9, 12, 3)).astype(np.uint8)
            Image.fromarray(rough).resize((96, 72)).save(root / "coco" / split / f"{split}-{i}.jpg")
    run_prepare(PrepareCoco(root / "coco", root / "pairs", size="8", workers=1))
    model = fit_closed_form("linear-gaussian", open_pairs(root / "pairs", "train"))
    save_pretrained(model, root / "model", task="resaturation")
    return root


def test_models_and_pairs_are_tested_and_the_numbers_written(coco, capsys):
    out = coco / "leak.json"
    config = LeakConfig(
        coco / "coco", "resaturation", (str(coco / "model"),), coco / "pairs", limit=5, samples=4, json=out
    )
    assert run(config) == 0
    text = capsys.readouterr().out
    assert "slope of the draws on a field that was changed, 5 photos" in text and "64 px, JPEG 90 4:2:0" in text
    data = json.loads(out.read_text())
    slopes = data["slopes"][str(coco / "model")]
    assert abs(slopes["as_it_is"]["slope"]) < 1e-3 and set(slopes) == {"as_it_is", "jpeg", "reduced_jpeg"}
    assert set(data["probe"]) == {"r2_reduced", "r2_reduced_jpeg", "gain"} and data["photos"] == 5


def test_evaluate_finds_the_photos_of_its_pairs(coco, capsys):
    out = coco / "evaluation.json"
    options = {"run": str(coco / "model"), "pairs": str(coco / "pairs"), "samples": 4, "json": str(out)}
    run_evaluate(EvaluateConfig(**options, photos=coco / "coco"))
    assert "Slope of draws on a field that was changed, 6 photos" in capsys.readouterr().out
    assert json.loads(out.read_text())["intervention_slopes"]["model"]["photos"] == 6
    run_evaluate(EvaluateConfig(**options))
    assert "Leaks: not tested; --photos" in capsys.readouterr().out
    with pytest.raises(DataError, match="holds no photo of the pairs, expected 'val2014-"):
        run_evaluate(EvaluateConfig(**options, photos=coco / "coco/train2014"))


def test_files_are_found_by_name_and_crops_are_not_asked_for(coco):
    found = photos_of(["val2014-1.jpg", "val2014-2.jpg#1", "other.jpg"], coco / "coco", 10)
    assert [path.name for path in found] == ["val2014-1.jpg"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "got neither --model nor --pairs"),
        ({"model": ("x",), "jpeg": 0}, "jpeg is 0"),
        ({"model": ("x",), "limit": 1}, "limit"),
        ({"model": ("x",), "side": 4}, "side"),
    ],
)
def test_options_out_of_range_are_named(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        LeakConfig(tmp_path, "resaturation", **options)


def test_a_folder_without_photos_is_named(tmp_path):
    with pytest.raises(DataError, match="holds no photo"):
        run(LeakConfig(tmp_path, "resaturation", ("resaturation",)))


def test_copies_of_training_pairs_are_left_out_of_an_evaluation(coco, tmp_path, capsys):
    for split in ("train2014", "val2014"):
        (tmp_path / "coco" / split).mkdir(parents=True)
        for path in (coco / "coco" / split).iterdir():
            (tmp_path / "coco" / split / path.name).write_bytes(path.read_bytes())
    copy = Image.open(coco / "coco/train2014/train2014-3.jpg")
    copy.save(tmp_path / "coco/val2014/copy.jpg", quality=80)
    run_prepare(PrepareCoco(tmp_path / "coco", tmp_path / "pairs", size="8", workers=1))
    options = {"run": str(coco / "model"), "pairs": str(tmp_path / "pairs"), "samples": 4}
    (found,) = run_evaluate(EvaluateConfig(**options))
    assert found.conditions == 6 and "copy.jpg" not in found.names
    assert "1 of 7 pairs are nearly training pairs: left out" in capsys.readouterr().err
    assert run_evaluate(EvaluateConfig(**options, duplicates="keep"))[0].conditions == 7
