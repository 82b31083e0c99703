"""Rows of the worlds benchmark: what a preset's name with options trains, by which clock."""

import argparse
import sys
from argparse import Namespace
from importlib import import_module
from pathlib import Path

import pytest

from coembed.evaluation.synthetic.worlds import Shading

BENCHMARKS = str(Path(__file__).parents[3] / "benchmarks")


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    before = set(sys.modules)
    yield import_module("worlds"), import_module("worlds_rows"), import_module("worlds_table")
    for name in ("worlds", "worlds_rows", "worlds_table", "worlds_figure"):
        if name not in before:
            sys.modules.pop(name, None)


def options(folder, **changed):
    values = {"cache": folder, "pairs": 40, "seed": 3, "size": 16, "images": None, "minutes": 0.5, "threads": 1}
    return Namespace(**values | {"presets": ["default"], "model": [], "peers": []} | changed)


def trained_rows(module, arguments):
    return [row for row in module.rows(Shading(16), arguments) if row.run is not None]


def test_options_after_a_plus_are_a_row_of_their_own(benchmark, tmp_path):
    presets = ["default", "default+tie.experts=true", "default"]
    found = trained_rows(benchmark[1], options(tmp_path, presets=presets, model=["tie.components=4"]))
    assert [row.name for row in found] == [
        "default+tie.components=4",
        "default+tie.experts=true+tie.components=4",
    ]
    assert len({row.run for row in found}) == 2


def test_a_row_trains_its_preset_with_its_options_by_cpu_time(benchmark, tmp_path, monkeypatch):
    configs = []
    monkeypatch.setattr(benchmark[1], "run_train", configs.append)
    monkeypatch.setattr(benchmark[1], "from_pretrained", lambda run: run)
    [row] = trained_rows(
        benchmark[1], options(tmp_path, presets=["default+tie.experts=true+field.codes=[8,24]"])
    )
    assert row.build() == row.run
    [config] = configs
    assert (config.preset, config.model) == ("default", ("tie.experts=true", "field.codes=[8,24]"))
    assert (config.clock, config.minutes, config.images, config.flips) == ("cpu", 0.5, None, False)


def test_an_unknown_preset_is_refused_by_name(benchmark):
    assert benchmark[0]._named("cvae+x=1") == "cvae+x=1"
    with pytest.raises(argparse.ArgumentTypeError, match=r"'nothing\+x=1', expected one of default"):
        benchmark[0]._named("nothing+x=1")


@pytest.mark.parametrize(
    ("images", "said"),
    [(None, "for 0.5 CPU minute(s) on"), (64, "for 64 pairs, peers for 0.5 CPU minute(s) on")],
)
def test_the_table_says_how_long_was_trained(benchmark, images, said):
    settings = {"images": images, "minutes": 0.5, "pairs": 9, "size": 16, "threads": 1, "conditions": 2}
    settings |= {"slow_conditions": 1, "samples": 5, "particles": 3, "seed": 0}
    row = {"world": "shading", "name": "default", "seconds": 1.0, "training": {"images": 2_400}}
    row["scores"] = {"mode_recall": {"value": 0.25, "error": 0.1}}
    text = benchmark[2].markdown({"options": settings, "machine": {"cpu": "a", "torch": "b"}, "scores": [row]})
    assert said in text and "| default | 0.25 ± 0.1 | 1.0 | 2k |" in text


def test_heads_of_the_picture_fit_their_columns(benchmark):
    lines = import_module("worlds_figure")._lines("default+tie.experts=true+layer_temperatures=[0.5,0.25]")
    assert lines[0] == "default" and "".join(lines) == "defaulttie.experts=truelayer_temperatures=[0.5,0.25]"
    assert max(map(len, lines)) <= 13
