import json

import numpy as np
import pytest

from coembed.data.similarity import annotations as module
from coembed.data.similarity.annotations import read_annotations
from coembed.errors import DataError


def contents():
    return {
        "info": {"description": 'braces } and "quotes" ]'},
        "annotations": [
            {"id": 5, "image_id": 30, "category_id": 90, "bbox": [1, 2, 3.5, 4], "area": 7.25, "iscrowd": 0},
            {
                "id": 6,
                "image_id": 10,
                "category_id": 1,
                "bbox": [-5, 0, 20, 400],
                "iscrowd": 1,
                "segmentation": [[1, 2]],
            },
            {"id": 7, "image_id": 30, "category_id": 1, "bbox": [0, 0, 0, 4], "area": 0},
        ],
        "images": [
            {"id": 30, "file_name": "c.jpg", "width": 40, "height": 20},
            {"id": 20, "file_name": "b.jpg", "width": 10, "height": 10},
            {"id": 10, "file_name": "a.jpg", "width": 64, "height": 48},
        ],
        "categories": [{"id": 90, "name": "toothbrush"}, {"id": 1, "name": "person"}],
    }


def write(path, data, **options):
    path.write_text(json.dumps(data, **options), encoding="utf-8")
    return path


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
@pytest.mark.parametrize("indent", [None, 2])
def test_any_order_of_parts_ids_with_gaps_and_any_chunk(tmp_path, monkeypatch, chunk, indent):
    monkeypatch.setattr(module, "_READ", chunk)
    found = read_annotations(write(tmp_path / "instances.json", contents(), indent=indent))
    assert found.categories == ("person", "toothbrush")
    assert found.photos == {"c.jpg": 0, "b.jpg": 1, "a.jpg": 2}
    assert found.sizes.tolist() == [[40, 20], [10, 10], [64, 48]]
    assert found.starts.tolist() == [0, 2, 2, 3]
    assert found.category.tolist() == [1, 0, 0]
    assert found.boxes.tolist() == [[1, 2, 3.5, 4], [0, 0, 0, 4], [-5, 0, 20, 400]]
    assert found.areas.tolist() == [7.25, 0, 8000]
    assert found.crowds.tolist() == [False, False, True]


def broken(part, place, **values):
    data = contents()
    data[part][place].update(values)
    return data


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (broken("annotations", 1, bbox=[0, 0, -1, 2]), r"annotations\[1\] \(id 6\): bbox is \[0, 0, -1, 2\]"),
        (broken("annotations", 2, bbox=[0, 0, float("nan"), 2]), r"annotations\[2\] \(id 7\): bbox"),
        (broken("annotations", 0, bbox="all"), r"annotations\[0\] \(id 5\): bbox is 'all'"),
        (broken("annotations", 0, area=-2), r"annotations\[0\] \(id 5\): area is -2"),
        (
            broken("annotations", 1, category_id=2),
            r"annotations\[1\]: category_id is 2, which no entry of categ",
        ),
        (broken("annotations", 1, image_id=11), r"annotations\[1\]: image_id is 11, which no entry of images"),
        (broken("annotations", 1, image_id="10"), r"annotations\[1\] \(id 6\): image_id is '10'"),
        (broken("images", 1, width=0), r"images\[1\] \(id 20\): width and height are \[0, 10\]"),
        (broken("images", 1, id=30), r"images\[1\] \(id 30\): the id is taken by photo 'c.jpg'"),
        (broken("images", 1, file_name="a.jpg"), r"file_name 'a.jpg' is there more than once"),
        (broken("categories", 0, name=""), r"categories\[0\] \(id 90\): name is ''"),
        (broken("categories", 0, id=1), r"categories\[1\] \(id 1\): the id is taken by category 'toothbrush'"),
        ({**contents(), "images": {}}, r"images is \{\}, expected a list"),
        ({**contents(), "images": [3]}, r"images\[0\]: got 3, expected an object"),
        ({k: v for k, v in contents().items() if k != "categories"}, "has no list 'categories'"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path, data, words):
    with pytest.raises(DataError, match=words) as caught:
        read_annotations(write(tmp_path / "instances.json", data))
    assert "instances.json" in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"images": [', '{"images": [{"id": 1,}]}', '{"info": [1,]}', '{"a": tru']
)
def test_what_is_no_json_is_said_to_be_none(tmp_path, text):
    path = tmp_path / "instances.json"
    path.write_text(text)
    with pytest.raises(DataError, match="not valid JSON at character"):
        read_annotations(path)


def test_other_bytes_and_missing_files(tmp_path):
    path = tmp_path / "instances.json"
    path.write_bytes(b'{"images": "\xff\xfe"}')
    with pytest.raises(DataError, match="not UTF-8"):
        read_annotations(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_annotations(tmp_path / "none.json")


def test_photos_without_any_annotation(tmp_path):
    found = read_annotations(write(tmp_path / "instances.json", {**contents(), "annotations": []}))
    assert np.all(found.starts == 0) and len(found.boxes) == 0
