import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from coembed.data.names import clip_of, crop_of, number_by
from coembed.data.similarity.annotations import read_annotations
from coembed.data.similarity.features import (
    Block,
    Scaling,
    action_block,
    annotation_blocks,
    mirrored_layout,
    own_block,
    pixel_block,
)
from coembed.data.similarity.files import HEADER, annotate, read_features, store_blocks, write_features
from coembed.data.similarity.layout import coverage
from coembed.data.store.store import PairStore
from coembed.errors import DataError
from coembed.serialization import read_json, write_json

unit = st.integers(-20, 120).map(lambda i: i / 100)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(unit, unit, unit, unit), max_size=5), st.integers(1, 6))
def test_coverage_equals_counting_fine_cells(boxes, grid):
    boxes = np.array([[min(a, c), min(b, d), max(a, c), max(b, d)] for a, b, c, d in boxes]).reshape(-1, 4)
    fine = 100 * grid  # every edge at a hundredth lies on this raster
    centres = (np.arange(fine) + 0.5) / fine
    inside = np.zeros((fine, fine), dtype=bool)
    for left, top, right, bottom in boxes:
        inside |= np.outer((centres > top) & (centres < bottom), (centres > left) & (centres < right))
    counted = inside.reshape(grid, 100, grid, 100).mean((1, 3))
    np.testing.assert_allclose(coverage(boxes, grid), counted, atol=1e-9)


def dense(block: Block) -> np.ndarray:
    return block.values.toarray() if sparse.issparse(block.values) else block.values


@pytest.fixture
def annotations(tmp_path):
    data = {
        "categories": [{"id": 3, "name": "dog"}, {"id": 8, "name": "cat"}, {"id": 9, "name": "cow"}],
        "images": [
            {"id": i, "file_name": f"{name}.jpg", "width": 100, "height": 50} for i, name in enumerate("abcd")
        ],
        "annotations": [
            {"id": 1, "image_id": 0, "category_id": 3, "bbox": [0, 0, 50, 50], "area": 300},
            {"id": 2, "image_id": 0, "category_id": 3, "bbox": [20, 0, 20, 50], "area": 300},
            {"id": 3, "image_id": 0, "category_id": 9, "bbox": [80, 40, 500, 500], "area": 200},
            {"id": 4, "image_id": 1, "category_id": 8, "bbox": [0, 0, 100, 50], "area": 5000, "iscrowd": 1},
            {"id": 5, "image_id": 3, "category_id": 8, "bbox": [200, 0, 10, 10], "area": 0},
        ],
    }
    path = tmp_path / "instances_train2014.json"
    path.write_text(json.dumps(data))
    return path


def test_labels_are_shares_and_layout_is_the_union_of_boxes(annotations):
    blocks = annotation_blocks(read_annotations(annotations), ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "new.jpg"])
    label, layout = dense(blocks["label"]), dense(blocks["layout"]).reshape(5, 3, 5, 5)
    assert blocks["label"].columns == ("dog", "cat", "cow")
    np.testing.assert_allclose(label, [[0.75, 0, 0.25], [0, 1, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0]])
    np.testing.assert_allclose(layout[0, 0], np.outer(np.ones(5), [1, 1, 0.5, 0, 0]), atol=1e-6)
    assert layout[0, 2, 4, 4] == 1 and layout[0, 2].sum() == 1  # cut off at the photo's edge
    assert np.all(layout[1, 1] == 1) and layout[2:].sum() == 0


def test_counts_and_crowds_are_options(annotations):
    found = read_annotations(annotations)
    counted = annotation_blocks(found, ["a.jpg", "b.jpg"], label="count", crowds=False)
    np.testing.assert_allclose(dense(counted["label"]), [[2 / 3, 0, 1 / 3], [0, 0, 0]], rtol=1e-6)


def test_a_crop_has_its_photos_label_and_its_own_layout(annotations):
    blocks = annotation_blocks(read_annotations(annotations), ["a.jpg", "a.jpg#1"])
    assert np.array_equal(dense(blocks["label"])[0], dense(blocks["label"])[1])
    dog = dense(blocks["layout"]).reshape(2, 3, 5, 5)[1, 0]
    rows, columns = crop_of("a.jpg#1", (50, 100))
    covered = np.zeros((50, 100))
    covered[:, :50] = 1
    crop = covered[rows, columns]
    assert dog.mean() == pytest.approx(crop.mean(), abs=1e-6)


def test_annotations_of_other_photos_are_refused(annotations):
    with pytest.raises(DataError, match=r"'x.jpg' is not there, 'a.jpg' is"):
        annotation_blocks(read_annotations(annotations), ["x.jpg"])


def test_actions_and_groups_come_from_the_names_of_clips():
    names = [
        "v_Dive_g01_c02.avi@0",
        "v_Dive_g01_c02.avi@1",
        "v_CliffDive_g10_c01.avi@0#1",
        "x/v_Dive_g02_c02.avi",
    ]
    block = action_block(names)
    assert block is not None and block.columns == ("CliffDive", "Dive")
    assert dense(block).tolist() == [[0, 1], [0, 1], [1, 0], [0, 1]]
    assert number_by(clip_of, names) == [0, 0, 1, 2]
    assert action_block(["a.jpg", *names]) is None


def test_pixels_are_area_means():
    layers = torch.rand(5, 2, 8, 6)
    block = pixel_block(lambda rows: layers[rows], 5, size=4, chunk=2)
    assert block.values.shape == (5, 2 * 4 * 4)
    assert block.values.mean() == pytest.approx(float(layers.mean()), abs=0.02)
    same = pixel_block(lambda rows: layers[rows], 5, size=32)
    assert np.array_equal(same.values, layers.flatten(1).numpy())


def test_blocks_are_scaled_to_their_weights_and_joined():
    rng = np.random.default_rng(0)
    blocks = {
        "label": Block(sparse.csr_array((rng.random((300, 40)) > 0.97).astype(np.float32))),
        "pixels": Block((5 + 3 * rng.normal(size=(300, 7))).astype(np.float32)),
        "own": Block(np.ones((300, 3), dtype=np.float32)),
    }
    joined = Scaling.of(blocks, {"label": 2.0}).join(blocks)
    values = joined.toarray() if sparse.issparse(joined) else joined
    variance = values.var(0, dtype=np.float64)
    assert variance[:40].sum() == pytest.approx(4, rel=1e-4)
    assert variance[40:47].sum() == pytest.approx(1, rel=1e-4)
    assert np.all(values[:, 47:] == 0)  # constant: tells nothing


def test_sparse_stays_sparse_where_that_is_smaller():
    empty = sparse.csr_array(sparse.random(100, 900, 0.01, random_state=0, dtype=np.float32))
    blocks = {"layout": Block(empty), "label": Block(np.eye(100, 5, dtype=np.float32))}
    assert sparse.issparse(Scaling.of(blocks, {}).join(blocks))


def test_mirrored_layout():
    values = np.arange(2 * 3 * 25, dtype=np.float32).reshape(2, 75)
    flipped = values.reshape(2, 3, 5, 5)[..., ::-1].reshape(2, 75)
    assert np.array_equal(mirrored_layout(Block(values)).values, flipped)
    assert np.array_equal(dense(mirrored_layout(Block(sparse.csr_array(values)))), flipped)


def test_features_come_back_as_written(tmp_path, annotations):
    names = ["a.jpg", "b.jpg", "c.jpg"]
    blocks = annotation_blocks(read_annotations(annotations), names)
    write_features(tmp_path, blocks, names, annotations)
    again = read_features(tmp_path, names)
    for name, block in blocks.items():
        assert np.array_equal(dense(again[name]), dense(block)) and again[name].columns == block.columns
    with pytest.raises(DataError, match="belongs to other pairs"):
        read_features(tmp_path, ["b.jpg", "a.jpg", "c.jpg"])
    header = read_json(tmp_path / HEADER)
    header["blocks"]["layout"]["shape"] = [3, 7]
    write_json(tmp_path / HEADER, header)
    with pytest.raises(DataError, match=HEADER):
        read_features(tmp_path, names)
    (tmp_path / "features.safetensors").write_bytes(b"short")
    with pytest.raises(DataError, match="damaged"):
        read_features(tmp_path, names)


def test_a_store_with_and_without_annotations(tmp_path, annotations):
    rng = np.random.default_rng(0)
    store = PairStore.from_arrays(
        rng.random((3, 1, 8, 8)), rng.random((3, 1, 8, 8)), names=["a.jpg", "b.jpg", "c.jpg"]
    )
    store.save(tmp_path / "train")
    store = PairStore.open(tmp_path / "train")
    assert set(store_blocks(store)) == {"pixels", "field_pixels"}
    with pytest.raises(DataError, match="has none of the features label"):
        store_blocks(store, ("label",))
    annotate(tmp_path / "train", annotations)
    assert set(store_blocks(store)) == {"label", "layout", "pixels", "field_pixels"}
    np.save(tmp_path / "own.npy", np.eye(3))
    assert set(store_blocks(store, ("label",), str(tmp_path / "own.npy"))) == {"label", "own"}


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((2, 4)), "has 2 rows, expected one per pair: 3"),
        (np.zeros(3), r"got float64 of shape \(3,\)"),
        (np.array([["a"], ["b"], ["c"]]), r"got <U1 of shape \(3, 1\)"),
        (np.array([[0.0], [np.nan], [0.0]]), "row 1 holds NaN"),
        (np.array([[{}], [{}], [{}]], dtype=object), "not an array of numbers"),
    ],
)
def test_wrong_features_of_ones_own_are_refused(tmp_path, array, words):
    np.save(tmp_path / "own.npy", array, allow_pickle=True)
    with pytest.raises(DataError, match=words):
        own_block(tmp_path / "own.npy", 3)
