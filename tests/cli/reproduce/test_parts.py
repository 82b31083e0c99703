"""Parts of a report by themselves: originals, layers, the overview, and what makes scores old."""

import os

import numpy as np
import pytest
import torch
from PIL import Image

from coembed.cli.reproduce import overview, work
from coembed.cli.reproduce.layers import layer_facts
from coembed.cli.reproduce.models import Corpus, Model, open_corpora
from coembed.cli.reproduce.options import METHODS, ReproduceConfig
from coembed.cli.reproduce.orderings import orderings
from coembed.cli.reproduce.originals import edited, find_originals, framed
from coembed.cli.reproduce.work import Found
from coembed.data.prepare.photos import PhotoRecipe
from coembed.data.sources.items import Item
from coembed.data.store.store import PairStore
from coembed.evaluation.evaluate import evaluate
from coembed.models.cdvae.config import CDVAEConfig, GaussianTieConfig, LadderConfig
from coembed.models.cdvae.model import CDVAE
from coembed.tasks.task import get_task


def corpus_of(store, folder="pairs"):
    return Corpus("pairs", folder, store, store, "0" * 64)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of two photos, and the resaturation pairs that they give."""
    folder = tmp_path_factory.mktemp("photos") / "val2014"
    folder.mkdir()
    g = np.random.default_rng(0)
    layers = []
    for name in ("a.png", "b.png"):
        Image.fromarray(g.integers(0, 256, (20, 30, 3), dtype=np.uint8)).save(folder / name)
        layers.append(PhotoRecipe("resaturation", (8, 8)).make(Item(name, (str(folder / name),))))
    condition, field = (np.stack([pair[i].transpose(2, 0, 1) for pair in layers]) for i in (0, 1))
    task = get_task("resaturation")
    store = PairStore.from_arrays(
        condition,
        field,
        task="resaturation",
        names=["a.png", "b.png"],
        condition_layer=task.condition,
        field_layer=task.field,
    )
    return folder, corpus_of(store)


def test_originals_are_found_in_the_folders_within_and_only_if_they_are_the_pairs_own(photos, tmp_path):
    folder, corpus = photos
    found = find_originals([str(folder.parent)], corpus, [0, 1])
    assert {row: photo.pixels.shape for row, photo in found.items()} == {0: (20, 30, 3), 1: (20, 30, 3)}
    Image.new("RGB", (30, 20), "white").save(tmp_path / "a.png")  # another photo of that name
    assert find_originals([str(tmp_path)], corpus, [0, 1]) == {}
    assert set(find_originals([str(tmp_path), str(folder)], corpus, [0, 1])) == {0, 1}
    assert find_originals([], corpus, [0]) == {}


def test_a_photo_under_its_own_field_is_itself_and_without_saturation_is_grey(photos):
    folder, corpus = photos
    photo = find_originals([str(folder)], corpus, [0])[0]
    own = corpus.val.field([0]).numpy()
    same, grey = edited(photo, "resaturation", np.concatenate([own, own - 1]), own[0], 30)
    assert np.array_equal(same, framed(photo.pixels, 30))
    assert int(np.ptp(grey.astype(int), axis=2).max()) <= 1
    assert (same[:4] == 255).all()  # a wide photo has white above it


def test_layers_say_where_the_variance_comes_from():
    """A Gaussian tie chooses no component, so nothing varies where no layer does."""
    ladder = LadderConfig(codes=(4, 8), hidden=(16, 16))
    tie = GaussianTieConfig(layers="hier")
    config = CDVAEConfig((1, 8, 8), (1, 8, 8), ladder, ladder, tie, condition_code="mean")
    torch.manual_seed(0)
    model = CDVAE(config).eval()
    g = torch.Generator().manual_seed(0)
    store = PairStore.from_arrays(torch.rand(8, 1, 8, 8, generator=g), torch.rand(8, 1, 8, 8, generator=g))
    facts = layer_facts(model, corpus_of(store), 0)
    assert len(facts.nats) == len(facts.variance) == len(facts.wavelength) == 2
    assert facts.choice < 1e-9
    assert min(facts.variance) > 0 and max(facts.variance) < 1.2
    assert all(2 <= w <= 23 for w in facts.wavelength)


class Constant:
    """Samples around a constant field, as wide as told."""

    def __init__(self, width):
        self.width = width

    def sample(self, condition, n, *, generator):
        g = torch.Generator().manual_seed(0)
        return 0.5 + self.width * torch.randn(n, *condition.shape, generator=g)


def found_of(store, **widths):
    return [
        Found(
            method,
            Model(lambda: None, 0.0),
            {},
            evaluate(Constant(width), store, name=METHODS[method].label, samples=100),
            None,
            None,
        )
        for method, width in widths.items()
    ]


def test_the_overview_stands_ratios_beside_the_papers():
    g = torch.Generator().manual_seed(0)
    fields = torch.rand(6, 1, 8, 8, generator=g)
    store = PairStore.from_arrays(fields, fields, task="resaturation")
    found = found_of(store, nearest=0.2, cvae=0.1)
    table = overview.overview_table({"a": (corpus_of(store), found), "b": (corpus_of(store), found[:1])})
    head, nearest, cvae = table.rows
    assert head[1:6] == ["a: best of 100", "paper", "variance", "paper", "energy score"]
    assert nearest[1:6] == ["1.00 ± 0.00", "1.00", "1.00 ± 0.00", "1.00", "1.00 ± 0.00"]
    assert cvae[2] == f"{6.04 / 6.20:.2f}" and cvae[4] == f"{0.96 / 4.58:.2f}"
    assert cvae[3].startswith("0.25 ±") and cvae[6] == "–"
    assert overview.overview_figure({"a": (corpus_of(store), found)}, "note").startswith(b"\x89PNG")


def test_clips_of_a_video_are_spread_and_photos_are_taken_in_order():
    fields = torch.zeros(12, 1, 8, 8)
    videos = [f"v_Dive_g0{i // 4}_c01.avi@{i % 4}" for i in range(12)]
    store = PairStore.from_arrays(fields, fields, names=videos)
    assert corpus_of(store).held_out(3).names == [videos[0], videos[4], videos[8]]
    store = PairStore.from_arrays(fields, fields, names=[f"{i}.jpg" for i in range(12)])
    assert corpus_of(store).held_out(3).names == ["0.jpg", "1.jpg", "2.jpg"]


def test_orderings_are_counted_two_by_two():
    """Samples in order of width: variances are far apart, so every pair is decided."""
    g = torch.Generator().manual_seed(0)
    fields = torch.rand(12, 1, 8, 8, generator=g)
    store = PairStore.from_arrays(fields, fields, task="resaturation")
    widths = {"nearest": 0.4, "cvae": 0.3, "paper-shallow": 0.1, "paper-gauss": 0.2, "default": 0.5}
    rows = {row[0]: row[1:] for row in orderings("resaturation", found_of(store, **widths)).rows}
    # The paper: CVAE .96 < Shallow 1.64 < Gauss 3.10 < NN 4.58. Two of six pairs are turned: CVAE with the two.
    assert rows["variance"] == ["CVAE < Shallow < Gauss < NN", "Shallow < Gauss < CVAE < NN", "4", "2", "0"]
    assert orderings("custom", found_of(store, **widths)) is None


def test_scores_of_training_fields_are_made_anew_for_other_training_fields(tmp_path, monkeypatch):
    g = torch.Generator().manual_seed(0)
    layer = get_task("resaturation").field
    for split in ("train", "val"):
        values = torch.rand(30, 1, 8, 8, generator=g)
        store = PairStore.from_arrays(values, values, names=[f"{i}" for i in range(30)], field_layer=layer)
        store.save(tmp_path / "pairs" / split)
    config = ReproduceConfig((str(tmp_path / "pairs"),), str(tmp_path / "out"), limit=4, samples=4)
    corpus = open_corpora(config)[0]
    since = work._pairs_changed(config, corpus)
    first = work._score(config, corpus, "nearest", since)
    assert first.config["smoothing"] in (0.0, 0.5, 1.0)
    monkeypatch.setattr(work, "evaluate", lambda *a, **k: pytest.fail("scored already"))
    assert work._pairs_changed(config, corpus) == since
    assert work._score(config, corpus, "nearest", since).evaluation == first.evaluation
    path = tmp_path / "out" / "scores" / "pairs" / "pairs.json"
    path.write_text('{"train": "other"}')
    changed = work._pairs_changed(config, corpus)
    os.utime(path, (changed + 10, changed + 10))  # clocks of files may be coarse
    with pytest.raises(pytest.fail.Exception, match="scored already"):
        work._score(config, corpus, "nearest", path.stat().st_mtime)
