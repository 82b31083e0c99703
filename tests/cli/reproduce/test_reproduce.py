"""``coembed reproduce`` at a tiny size: every kind of method, tables, figures, page, and what is kept."""

import csv
import io
import json
import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import torch
from PIL import Image

from coembed.cli import main as cli
from coembed.cli.reproduce import models, paper, tables, work
from coembed.cli.reproduce.options import BUDGETS, METHODS, ReproduceConfig
from coembed.cli.reproduce.run import run_reproduce
from coembed.data.store.store import PairStore
from coembed.errors import ConfigError, DataError
from coembed.tasks.task import get_task

FEW = ("random", "linear-gaussian", "cvae", "paper-gauss", "default")


def write_pairs(folder, task, count=80):
    g = torch.Generator().manual_seed(0)
    layers = get_task(task).condition, get_task(task).field
    for split, n in (("train", count), ("val", 6)):
        condition = torch.rand(n, layers[0].channels, 8, 8, generator=g)
        shape = n, layers[1].channels, 8, 8
        low, high = max(layers[1].low, -2), min(layers[1].high, 2)
        field = low + (high - low) * torch.rand(shape, generator=g) * condition[:, :1]
        store = PairStore.from_arrays(
            condition, field, task=task, condition_layer=layers[0], field_layer=layers[1]
        )
        store.save(folder / split)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A report of one folder, and the arguments that made it."""
    here = tmp_path_factory.mktemp("reproduce")
    pairs = write_pairs(here / "saturations", "resaturation")
    arguments = ["reproduce", "--pairs", str(pairs), "--out", str(here / "report"), "--methods", *FEW]
    arguments += [
        "--minutes",
        "0.005",
        "--samples",
        "10",
        "--photos",
        "2",
        "--batch-size",
        "16",
        "--threads",
        "1",
    ]
    assert cli.main(arguments) == 0
    return here / "report", arguments


def test_the_page_is_whole_and_offline(made):
    out, _ = made
    page = (out / "index.html").read_text()
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert "://" not in page  # pictures are base64, which has no colon but may well spell "http"
    assert page.count("<table>") == 7
    assert page.count("<img ") == len(list((out / "figures" / "saturations").glob("*.png"))) >= 8
    for method in (*FEW, "nearest"):
        assert METHODS[method].label in page
    for path in (out / "figures" / "saturations").glob("*.png"):
        with Image.open(path) as picture:
            picture.load()
            assert min(picture.size) > 100


def test_the_numbers_are_those_of_the_evaluations_beside_the_papers(made):
    out, _ = made
    data = json.loads((out / "report.json").read_text(), parse_constant=pytest.fail)
    methods = {m["preset"]: m for m in data["sections"][0]["methods"]}
    assert list(methods) == [m for m in METHODS if m in (*FEW, "nearest")]
    rows = list(csv.DictReader(io.StringIO((out / "tables" / "saturations" / "errors.csv").read_text())))
    for row in rows:
        method = next(m for m in methods.values() if m["name"] == row["Method"])
        assert float(row["n=3"]) == pytest.approx(100 * method["summary"]["best_3"]["value"], abs=0.006)
    gauss = next(row for row in rows if row["Method"] == "Gauss")
    assert (gauss["paper n=3"], gauss["paper Var"]) == ("7.39", "3.10")
    assert methods["nearest"]["ratio"]["best_3"]["value"] == 1
    assert "likelihood_joint" in methods["paper-gauss"] and "likelihood_joint" not in methods["cvae"]
    assert "likelihood_conditional" in methods["cvae"] and "likelihood_conditional" not in methods["random"]
    assert (out / "tables" / "saturations" / "errors.tex").read_text().startswith("\\begin{tabular}")


def test_a_second_time_nothing_is_trained_or_scored_again_and_another_seed_is_scored(made, monkeypatch):
    out, arguments = made
    page = (out / "index.html").read_text()
    with monkeypatch.context() as patch:
        for module, name in ((models, "run_train"), (work, "evaluate"), (work, "likelihood")):
            patch.setattr(module, name, lambda *a, **k: pytest.fail("done already"))
        assert cli.main(arguments) == 0
    assert (out / "index.html").read_text() == page
    scored = []
    monkeypatch.setattr(work, "evaluate", lambda *a, **k: scored.append(k["name"]) or pytest.skip("scored"))
    monkeypatch.setattr(models, "run_train", lambda *a, **k: pytest.fail("trained already"))
    with pytest.raises(pytest.skip.Exception):
        cli.main([*arguments, "--limit", "3"])
    assert scored == ["NN"]


def test_what_goes_into_the_repository_is_small_and_shows_no_photo(made, tmp_path, monkeypatch):
    out, _ = made
    path = Path(__file__).parents[3] / "benchmarks" / "report.py"
    spec = spec_from_file_location("benchmark_report", path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr("sys.argv", ["report.py", str(out), "--out", str(tmp_path / "kept")])
    module.main()
    text = (tmp_path / "kept" / "report.md").read_text()
    assert "| NN |" in text and "figures/saturations/calibration.png" in text
    kept = {p.name for p in (tmp_path / "kept").rglob("*") if p.is_file()}
    assert {"report.md", "report.json", "errors.csv", "errors.tex", "ranks.png"} <= kept
    assert not any(name.startswith(("samples", "methods", "layers_")) for name in kept)
    assert not any(str(out.parent) in p.read_text() for p in (tmp_path / "kept").rglob("*.json"))


def test_other_pairs_under_the_same_name_are_noticed(made, tmp_path):
    _, arguments = made
    other = write_pairs(tmp_path / "saturations", "resaturation", count=81)
    changed = [str(other) if a.endswith("/saturations") else a for a in arguments]
    with pytest.raises(ConfigError, match="was trained on other pairs"):
        run_reproduce(_parsed(changed))


@pytest.mark.parametrize("task", ["motion", "relighting"])
def test_other_tasks_have_their_pictures(tmp_path, task):
    pairs = write_pairs(tmp_path / "other", task)
    out = run_reproduce(
        ReproduceConfig(
            (str(pairs),),
            str(tmp_path / "report"),
            methods=("linear-gaussian",),
            samples=5,
            photos=1,
            threads=1,
        )
    )
    assert "Four samples per photo" in out.read_text()


def test_mistakes_are_named(tmp_path):
    write_pairs(tmp_path / "one", "resaturation")
    with pytest.raises(ConfigError, match="methods: got 'gan'"):
        ReproduceConfig(("p",), "o", methods=("gan",))
    with pytest.raises(ConfigError, match="pairs: got none"):
        ReproduceConfig((), "o")
    with pytest.raises(DataError, match="needs a folder that holds train/ and val/"):
        run_reproduce(ReproduceConfig((str(tmp_path / "one" / "val"),), str(tmp_path / "report")))


def test_the_papers_tables_are_transcribed_whole():
    """Every row falls with n; one number of each table by hand."""
    for task in ("relighting", "resaturation", "motion"):
        for name in ("NN", "CVAE", "Shallow", "Gauss", "MDN4", "MDN12"):
            row = list(paper.errors(task, name).values())
            assert len(row) == 6 and row[:5] == sorted(row[:5], reverse=True)
    assert paper.errors("relighting", "MDN12")["best_60"] == 1.20
    assert paper.errors("resaturation", "CVAE")["variance"] == 0.96
    assert paper.errors("motion", "MDN4")["best_100"] == 0.60
    assert paper.likelihood("motion", "MDN12") == 6517
    assert paper.errors("custom", "NN") is None


def test_the_least_of_a_column_leads():
    table = tables.Table("t", "T", [["m", "a"], ["x", "2.0 ± 0.1"], ["y", "–"], ["z", "−3.0 ± 0.2"]], "", (1,))
    assert tables.leads(table) == {(3, 1)}


def test_a_quick_budget_is_shared_among_folders():
    one, three = ReproduceConfig(("a",), "o").work(), ReproduceConfig(("a", "b", "c"), "o").work()
    assert one.minutes == pytest.approx(3 * three.minutes) == BUDGETS["quick"].minutes
    learned = sum(method.trained and method.usual for method in METHODS.values())
    assert learned * BUDGETS["quick"].minutes < 10


def _parsed(arguments):
    import tyro

    return tyro.cli(ReproduceConfig, args=arguments[1:])
