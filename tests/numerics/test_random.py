import pytest
import torch

from coembed.errors import ConfigError
from coembed.numerics.random import Streams


@pytest.mark.parametrize("dim", [1, 3, 16, 21, 1000])
def test_rows_do_not_depend_on_batch_chunking_or_count(dim):
    whole = Streams(5, range(6)).normal(9, dim)
    parts = Streams(5, [4])
    chunked = torch.cat([parts.normal(2, dim), parts.normal(1, dim), parts.normal(3, dim)])
    assert torch.equal(chunked[:, 0], whole[:6, 4])


def test_rows_are_standard_normal_and_independent():
    x = Streams(0, range(64)).normal(500, 8).reshape(-1, 8)
    assert x.mean(0).abs().max() < 0.03
    covariance = x.T @ x / len(x)
    assert (covariance - torch.eye(8)).abs().max() < 0.04


def test_other_seeds_and_ids_give_other_rows():
    base = Streams(0, [0]).normal(1, 16)
    assert not torch.equal(base, Streams(1, [0]).normal(1, 16))
    assert not torch.equal(base, Streams(0, [1]).normal(1, 16))


def test_a_generator_is_consumed_and_a_wrong_number_of_streams_is_refused():
    g = torch.Generator().manual_seed(3)
    a, b = Streams.of(g, 2), Streams.of(g, 2)
    assert a.seed != b.seed
    with pytest.raises(ConfigError, match="3 streams, expected one per condition: 2"):
        Streams.of(Streams(0, range(3)), 2)
