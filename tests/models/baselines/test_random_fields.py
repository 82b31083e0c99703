import torch

from coembed.models.registry import fit_closed_form


def test_every_training_field_is_drawn_equally_often_whatever_the_condition():
    field = torch.arange(5.0)[:, None, None, None].expand(5, 1, 2, 2)
    condition = torch.zeros(5, 1, 2, 2)
    drawn = fit_closed_form("random", (condition, field)).sample(torch.rand(4, 1, 2, 2), 5000, generator=0)
    assert drawn.shape == (5000, 4, 1, 2, 2)
    shares = torch.stack([(drawn[..., 0, 0, 0] == k).float().mean(0) for k in range(5)])
    assert (shares - 0.2).abs().max() < 0.02  # standard error 0.006
