import csv
import io
import json

import numpy as np
import pytest
from PIL import Image

from coembed.cli import main as cli
from coembed.cli.output.embed_map import draw_map, legend_entries, places
from coembed.data.similarity.files import annotate
from coembed.data.store.store import PairStore


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """60 photos: dark ones hold dogs, light ones cats, two nothing."""
    folder = tmp_path_factory.mktemp("pairs")
    rng = np.random.default_rng(0)
    light = np.arange(60) % 2
    condition = (0.2 + 0.6 * light)[:, None, None, None] + 0.1 * rng.random((60, 1, 8, 8))
    names = [f"{i:02d}.jpg" for i in range(60)]
    PairStore.from_arrays(condition, rng.random((60, 1, 8, 8)), names=names).save(folder / "train")
    boxes = [
        {"id": i, "image_id": i, "category_id": 10 + int(light[i]), "bbox": [0, 0, 5, 5]} for i in range(58)
    ]
    photos = [{"id": i, "file_name": name, "width": 8, "height": 8} for i, name in enumerate(names)]
    kinds = [{"id": 10, "name": "dog"}, {"id": 11, "name": "cat"}]
    source = folder / "instances_train2014.json"
    source.write_text(json.dumps({"annotations": boxes, "images": photos, "categories": kinds}))
    annotate(folder / "train", source)
    return folder


def test_a_table_of_names_labels_and_coordinates(pairs, tmp_path):
    out = tmp_path / "new" / "map.csv"
    assert cli.main(["embed", "--pairs", str(pairs), "--out", str(out), "--components", "3"]) == 0
    lines = list(csv.DictReader(out.open()))
    assert [line["name"] for line in lines] == [f"{i:02d}.jpg" for i in range(60)]
    assert [line["label"] for line in lines] == ["dog", "cat"] * 29 + ["", ""]
    first = np.array([[float(line[x]) for x in ("x1", "x2", "x3")] for line in lines])
    # What photos hold separates them, in whichever coordinate.
    gap = np.abs(first[0:58:2].mean(0) - first[1:58:2].mean(0))
    assert gap.max() > 1.5


def test_a_map_of_thumbnails_in_their_labels_colours(pairs, tmp_path):
    out = tmp_path / "map.png"
    arguments = ["--pairs", str(pairs), "--out", str(out), "--cells", "6", "--thumbnail", "8"]
    assert cli.main(["embed", *arguments]) == 0
    picture = np.asarray(Image.open(out))
    assert picture.shape == (6 * 14, 6 * 14 + 180, 3)
    borders = {tuple(c) for c in picture[::14, : 6 * 14 : 14].reshape(-1, 3).tolist()} - {(255, 255, 255)}
    assert 2 <= len(borders) <= 3
    # The legend names every label with the colour of its frames.
    assert borders <= {tuple(c) for c in picture[9::18, 6 * 14 + 14].tolist()}


def test_a_map_of_pairs_without_labels_has_no_legend(pairs):
    store = PairStore.open(pairs / "train")
    points = np.random.default_rng(0).normal(size=(60, 2))
    data = draw_map(store, np.arange(60), [""] * 60, points, 6, 8)
    assert Image.open(io.BytesIO(data)).size == (6 * 14, 6 * 14)


def test_the_legend_sums_up_what_does_not_fit():
    labels = ["cat"] * 3 + ["dog"] * 2 + ["", "cow"]
    assert legend_entries(labels, 4) == [("cat", 3), ("dog", 2), ("cow", 1), ("no label", 1)]
    assert legend_entries(labels, 2) == [("cat", 3), ("3 others", 4)]


def test_each_cell_shows_the_pair_nearest_its_middle():
    points = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
    assert places(points, 2) == {(1, 0): 1, (0, 1): 3}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--out", "map.gif"], "expected a name ending in .png or .csv"),
        (["--out", "map.png", "--cells", "0"], "cells: got 0"),
        (["--out", "map.png", "--pixels", "0", "--label", "0", "--layout", "0"], "has none of the features"),
    ],
)
def test_wrong_options_end_in_one_line(pairs, capsys, more, words):
    assert cli.main(["embed", "--pairs", str(pairs), *more]) == 1
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
