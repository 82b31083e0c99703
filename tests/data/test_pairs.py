"""Pairs are a sequence, in memory, on disk and chosen from others; a torch DataLoader takes them so."""

import pickle

import pytest
import torch
from torch.utils.data import DataLoader

from coembed.data.pairs import Subset, TensorPairs, as_numbers, evenly_spaced, load_all
from coembed.data.store import store as stores
from coembed.data.store.store import PairStore


@pytest.fixture(params=["memory", "disk", "tensors", "subset", "loaded"])
def pairs(request, tmp_path, monkeypatch):
    """20 pairs whose first value is their number; on disk in shards of seven."""
    condition = torch.arange(20.0).view(20, 1, 1, 1).expand(20, 2, 3, 4).contiguous()
    field = -condition[:, :1]
    if request.param == "tensors":
        return TensorPairs(condition, field)
    store = PairStore.from_arrays(condition, field, names=[f"pair {i}" for i in range(20)])
    if request.param == "subset":
        twice = torch.cat([condition.flip(0), condition])
        return Subset(TensorPairs(twice, -twice[:, :1]), torch.arange(20, 40))
    if request.param == "loaded":
        return load_all(store)
    if request.param == "memory":
        return store
    monkeypatch.setattr(stores, "shard_pairs", lambda *_: 7)
    store.save(tmp_path / "pairs")
    return PairStore.open(tmp_path / "pairs")


def numbers(pairs):
    return [int(condition[0, 0, 0]) for condition, _ in pairs]


def test_a_pair_is_a_condition_and_its_field(pairs):
    condition, field = pairs[7]
    assert condition.shape == (2, 3, 4) and field.shape == (1, 3, 4)
    assert condition.dtype == field.dtype == torch.float32
    assert bool((condition == 7).all()) and bool((field == -7).all())
    assert numbers([pairs[-1], pairs[0], pairs[torch.tensor(3).item()]]) == [19, 0, 3]


def test_iteration_goes_once_through_all(pairs):
    assert len(pairs) == 20 and numbers(pairs) == list(range(20))
    assert len(pairs.names) == 20 and len(set(pairs.names)) == 20


@pytest.mark.parametrize("index", [20, -21, 1000])
def test_a_number_outside_is_an_index_error(pairs, index):
    with pytest.raises(IndexError, match=str(index)):
        pairs[index]
    with pytest.raises(IndexError):
        pairs[[0, index]]


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (slice(2, 9, 3), [2, 5, 8]),
        (slice(None, None, -6), [19, 13, 7, 1]),
        ([3, -1, 3], [3, 19, 3]),
        (torch.tensor([5, 0]), [5, 0]),
        (torch.arange(20) % 8 == 1, [1, 9, 17]),
        ([], []),
    ],
)
def test_slices_numbers_and_masks_give_pairs_again(pairs, chosen, expected):
    some = pairs[chosen]
    assert numbers(some) == expected and len(some) == len(expected)
    assert some.names == [pairs.names[i] for i in expected]
    condition, field = some.batch(slice(None))
    assert condition[:, 0, 0, 0].tolist() == expected and torch.equal(field, -condition[:, :1])
    assert numbers(some[1:]) == expected[1:]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_data_loader_takes_pairs_as_they_are(pairs, workers):
    loader = DataLoader(pairs, batch_size=6, num_workers=workers)
    batches = list(loader)
    assert [len(condition) for condition, _ in batches] == [6, 6, 6, 2]
    for start, (condition, field) in zip(range(0, 20, 6), batches, strict=True):
        wanted = pairs.batch(slice(start, start + 6))
        assert torch.equal(condition, wanted[0]) and torch.equal(field, wanted[1])


def test_a_data_loader_shuffles_them(pairs):
    order = torch.Generator().manual_seed(0)
    found = [int(c[0, 0, 0, 0]) for c, _ in DataLoader(pairs, batch_size=1, shuffle=True, generator=order)]
    assert sorted(found) == list(range(20)) != found


def test_a_copy_in_another_process_reads_the_same(pairs):
    copy = pickle.loads(pickle.dumps(pairs))
    assert len(copy) == 20 and copy.names == pairs.names
    for one, other in zip(copy.batch([4, 11]), pairs.batch([4, 11]), strict=True):
        assert torch.equal(one, other)


def test_a_store_on_disk_is_opened_anew_in_another_process(tmp_path):
    PairStore.from_arrays(torch.rand(500, 1, 8, 8), torch.rand(500, 1, 8, 8)).save(tmp_path / "pairs")
    assert len(pickle.dumps(PairStore.open(tmp_path / "pairs"))) < 1000


@pytest.mark.parametrize("wrong", [[0.5], torch.zeros(2, 2), [[1]]])
def test_what_names_no_pairs_is_refused(wrong):
    with pytest.raises(IndexError, match="expected a list of numbers"):
        as_numbers(wrong, 20)


@pytest.mark.parametrize("count", [1, 7, 100])
def test_evenly_spaced_numbers_rise_from_the_first(count):
    for limit in (1, 3, count, 2 * count):
        found = evenly_spaced(count, limit)
        assert len(found) == min(count, limit) and found[0] == 0
        gaps = found.diff()
        assert not len(gaps) or (gaps.min() >= 1 and gaps.max() - gaps.min() <= 1)


@pytest.mark.parametrize("chosen", [slice(None, None, -6), [3, -1, 3], torch.arange(20) % 8 == 1])
def test_layers_are_read_by_whatever_names_pairs(pairs, chosen):
    assert pairs.condition(chosen)[:, 0, 0, 0].tolist() == numbers(pairs[chosen])


def test_a_data_loader_reads_a_batch_at_once():
    class Counting(TensorPairs):
        reads = 0

        def batch(self, indices):
            self.reads += 1
            return super().batch(indices)

    pairs = Counting(torch.rand(20, 1, 2, 2), torch.rand(20, 1, 2, 2))
    assert len(list(DataLoader(pairs, batch_size=5))) == 4 and pairs.reads == 4


def test_pairs_in_memory_keep_their_names():
    names = [f"{i}.jpg" for i in range(3)]
    store = PairStore.from_arrays(torch.rand(3, 1, 2, 2), torch.rand(3, 1, 2, 2), names=names)
    assert load_all(store[[2, 0]]).names == ["2.jpg", "0.jpg"]
