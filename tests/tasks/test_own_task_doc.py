"""The example of docs/own-task.md runs as printed: it keeps the contract and gives pairs to learn from."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coembed.cli.prepare import run_prepare
from coembed.cli.prepare_options import PrepareFolder, PreparePairs
from coembed.data.store.index import read_index
from coembed.data.store.store import open_pairs
from coembed.tasks import get_task, task

DOC = Path(__file__).parents[2] / "docs" / "own-task.md"


@pytest.fixture
def in_the_docs_folder(tmp_path, monkeypatch):
    """A folder of photos and the page's class as crispness.py in it; what it registers is forgotten after."""
    blocks = re.findall(r"```python\n(.*?)```", DOC.read_text(), re.DOTALL)
    (tmp_path / "crispness.py").write_text(blocks[0])
    (tmp_path / "my-photos").mkdir()
    generator = np.random.default_rng(0)
    for i in range(4):
        coarse = generator.integers(0, 256, (9, 12, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((48, 36)).save(tmp_path / "my-photos" / f"{i}.png")
    monkeypatch.setattr(task, "_TASKS", dict(task._TASKS))
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.chdir(tmp_path)
    yield blocks
    sys.modules.pop("crispness", None)


def test_the_class_keeps_the_contract_by_the_pages_own_check(in_the_docs_folder):
    names = {}
    for block in in_the_docs_folder:
        exec(compile(block, str(DOC), "exec"), names)
    assert get_task("crispness") is not None


def test_pairs_are_prepared_by_the_pages_class(in_the_docs_folder, tmp_path):
    run_prepare(PrepareFolder(Path("my-photos"), Path("pairs"), task="crispness:Crispness", workers=1))
    index = read_index(tmp_path / "pairs/train")
    assert index.options["working_size"] == 256 and index.options["settings"] == {"blur": 0.02, "faint": 0.01}
    field = open_pairs(tmp_path / "pairs", "train").field(slice(None))
    assert field.shape[1:] == (1, 32, 32) and field.std() > 0.005


def test_a_crisper_field_gives_a_crisper_photo(in_the_docs_folder):
    crispness = get_task("crispness:Crispness")
    photo = np.random.default_rng(1).uniform(0.3, 0.7, (40, 30, 3)).astype(np.float32)
    field = crispness.split(photo)[1]
    composed = [crispness.compose(photo, np.float32(factor) * field) for factor in (0.25, 0.5, 1, 1.3)]
    contrast = [crispness.split(made)[1].mean() for made in composed]
    assert contrast == sorted(contrast) and contrast[0] < 0.5 * contrast[2] < 0.45 * contrast[3]


def test_depth_files_are_pairs_without_any_code(in_the_docs_folder, tmp_path):
    (tmp_path / "depth").mkdir()
    for i in range(4):
        np.save(tmp_path / "depth" / f"{i}.npy", np.full((36, 48), 1.5 + i, np.float32))
    condition, field = Path("my-photos"), Path("depth")
    run_prepare(
        PreparePairs(Path("pairs"), condition, field, size="32", field_unit="m", val_fraction=0.0, workers=1)
    )
    index = read_index(tmp_path / "pairs/train")
    assert (index.field.low, index.field.high, index.field.unit) == (1.5, 4.5, "m")
