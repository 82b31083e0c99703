"""Stores of pairs: what goes in comes out, by any rows; damage is named."""

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from coembed.data.store.store import PairStore, open_pairs
from coembed.errors import DataError
from coembed.tasks import Layer


def arrays(n=20, c=1, f=2, h=3, w=4):
    generator = np.random.default_rng(0)
    return generator.random((n, c, h, w), dtype=np.float32), generator.normal(size=(n, f, h, w)).astype(
        np.float32
    )


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr("coembed.data.store.store.shard_pairs", lambda *_: 7)
    PairStore.from_arrays(*arrays(), names=[f"photo {i}" for i in range(20)]).save(tmp_path / "store")
    return tmp_path / "store"


def test_a_saved_store_opens_with_the_same_numbers_rounded_to_half(folder):
    condition, field = arrays()
    store = PairStore.open(folder)
    store.verify()
    assert [s.count for s in store.index.shards] == [7, 7, 6]
    assert len(store) == 20 and store.names[3] == "photo 3"
    assert store.condition(slice(None)).dtype == torch.float32
    np.testing.assert_array_equal(store.condition(slice(None)), condition.astype(np.float16).astype(np.float32))
    np.testing.assert_array_equal(store.field(slice(None)), field.astype(np.float16).astype(np.float32))
    assert store.index.field.low == field.min() and store.index.field.high == field.max()


@pytest.mark.parametrize(
    "rows",
    [
        slice(5, 16),
        slice(None, None, 3),
        slice(None, None, -2),
        slice(4, 4),
        [19, 0, 7, 7, 6, -1],
        [],
        np.array([13, 14]),
        torch.tensor([0, 13, 14, 19]),
        torch.arange(20) % 3 == 0,
    ],
    ids=str,
)
def test_rows_are_those_of_the_array(folder, rows):
    stored = PairStore.open(folder)
    whole = stored.field(slice(None)).numpy()
    index = (
        rows.numpy()
        if isinstance(rows, torch.Tensor)
        else rows
        if isinstance(rows, slice)
        else np.array(rows, int)
    )
    for store in (stored, PairStore.from_arrays(stored.condition(slice(None)), stored.field(slice(None)))):
        np.testing.assert_array_equal(store.field(rows).numpy(), whole[index])


def test_rows_outside_are_an_index_error(folder):
    with pytest.raises(IndexError, match="there are 20 pairs"):
        PairStore.open(folder).condition([3, 20])


def test_from_arrays_names_what_is_wrong():
    c, f = arrays()
    bad = f.copy()
    bad[4, 1, 0, 0] = np.nan
    cases = [
        ((c[0], f), {}, r"condition has shape \(1, 3, 4\), expected \(n, c, h, w\)"),
        ((c, f[:5]), {}, "expected the same n, h and w"),
        ((c, bad), {"names": list("abcdefghijklmnopqrst")}, r"field of pair 4 \('e'\) holds NaN"),
        ((c, f), {"names": ["one"]}, "names: got 1, expected one per pair: 20"),
        ((c, f), {"field_layer": Layer("flow", 3, -9.0, 9.0)}, "has 2 channels, expected 3"),
        ((c * 2, f), {"condition_layer": Layer("v", 1, 0.0, 1.0)}, "expected 0 to 1"),
        ((c.astype(str), f), {}, "expected real numbers"),
    ]
    for positional, named, message in cases:
        with pytest.raises(DataError, match=message):
            PairStore.from_arrays(*positional, **named)


def test_save_refuses_an_old_store_and_numbers_too_large(folder, tmp_path):
    with pytest.raises(DataError, match="already holds pairs"):
        PairStore.open(folder).save(folder)
    huge = PairStore.from_arrays(np.full((1, 1, 2, 2), 1e6), np.zeros((1, 1, 2, 2)))
    with pytest.raises(DataError, match=r"condition reaches 1e\+06, more than float16 holds"):
        huge.save(tmp_path / "huge")
    huge.save(tmp_path / "single", dtype="float32")
    assert float(PairStore.open(tmp_path / "single").condition([0]).max()) == 1e6


def edit(folder, **changes):
    path = folder / "index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_wrong_index_is_named(folder):
    edit(folder, version=2)
    with pytest.raises(DataError, match=r"index\.json: version is 2"):
        PairStore.open(folder)
    edit(folder, version=1, format="zip")
    with pytest.raises(DataError, match="format is 'zip'"):
        PairStore.open(folder)
    edit(folder, format="coembed-pairs", extra=1)
    with pytest.raises(DataError, match="unknown key 'extra'"):
        PairStore.open(folder)


def test_an_index_cannot_reach_out_of_its_folder(folder):
    shards = json.loads((folder / "index.json").read_text())["shards"]
    shards[0]["name"] = "../shard-00000.safetensors"
    edit(folder, shards=shards)
    with pytest.raises(DataError, match="in the same folder"):
        PairStore.open(folder)


def test_a_damaged_shard_is_named(folder):
    shard = folder / "shard-00001.safetensors"
    data = shard.read_bytes()
    shard.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(DataError, match=r"shard-00001\.safetensors: the checksum differs"):
        PairStore.open(folder).verify()
    shard.write_bytes(data[:-10])
    with pytest.raises(DataError, match=r"shard-00001\.safetensors: not a whole safetensors file"):
        PairStore.open(folder)
    save_file({"condition": np.zeros((7, 1, 3, 4), np.float16)}, shard)
    with pytest.raises(DataError, match=r"shard-00001\.safetensors: has no tensor 'field'"):
        PairStore.open(folder)
    save_file(
        {"condition": np.zeros((7, 1, 3, 4), np.float32), "field": np.zeros((7, 2, 3, 4), np.float16)}, shard
    )
    with pytest.raises(DataError, match=r"condition is float32 .*, expected float16 \(7, 1, 3, 4\)"):
        PairStore.open(folder)
    shard.unlink()
    with pytest.raises(DataError, match=r"shard-00001\.safetensors: missing"):
        PairStore.open(folder)


def test_open_pairs_finds_a_store_or_a_split_or_says_what_is_there(folder, tmp_path):
    assert len(open_pairs(folder, "train")) == 20
    PairStore.open(folder).save(tmp_path / "both" / "val")
    assert len(open_pairs(tmp_path / "both", "val")) == 20
    with pytest.raises(DataError, match=r"no train/index\.json .* it holds val/"):
        open_pairs(tmp_path / "both", "train")
    with pytest.raises(DataError, match="no such folder"):
        open_pairs(tmp_path / "nowhere", "val")


def test_an_index_written_before_layers_could_be_vectors_still_opens(tmp_path):
    PairStore.from_arrays(np.zeros((2, 1, 4, 4)), np.ones((2, 2, 4, 4))).save(tmp_path / "old")
    path = tmp_path / "old" / "index.json"
    data = json.loads(path.read_text())
    for layer in ("condition", "field"):
        del data[layer]["vector"]
    del data["left_out"]
    for shard in data["shards"]:
        del shard["left_out"]
    path.write_text(json.dumps(data))
    assert not PairStore.open(tmp_path / "old").index.field.vector
    data["field"]["vectors"] = True
    path.write_text(json.dumps(data))
    with pytest.raises(DataError, match="unknown key 'vectors'"):
        PairStore.open(tmp_path / "old")
