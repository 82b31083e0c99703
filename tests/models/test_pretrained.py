import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from coembed.errors import ModelError
from coembed.models import files
from coembed.models import pretrained as hub
from coembed.models.cdvae.model import CDVAE
from coembed.models.cdvae.presets import preset
from coembed.models.sampling_config import SamplingConfig


@pytest.fixture
def folder(tiny, tmp_path):
    return files.save_pretrained(tiny, tmp_path / "model", task="resaturation", card="# Card\n")


def edit_config(folder, **changes):
    path = folder / "config.json"
    data = json.loads(path.read_text()) | changes
    path.write_text(json.dumps(data))


def test_loading_gives_back_every_bit_the_config_and_the_task(tiny, folder):
    found = hub.load_pretrained(folder)
    assert found.task == "resaturation" and found.model.config == tiny.config and not found.model.training
    assert tiny.state_dict().keys() == found.model.state_dict().keys()
    for name, tensor in tiny.state_dict().items():
        assert torch.equal(tensor, found.model.state_dict()[name]), name
        assert tensor.dtype == found.model.state_dict()[name].dtype
    assert sorted(p.name for p in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]


def test_half_precision_is_half_the_bytes_for_matrices_and_exact_for_vectors(tiny, tmp_path):
    folder = files.save_pretrained(tiny, tmp_path / "half", task="t", dtype="float16")
    stored = load_file(folder / "model.safetensors")
    assert stored["levels"].dtype == torch.float16 and stored["scale"].dtype == torch.float32
    loaded = hub.from_pretrained(folder)
    assert loaded.levels.dtype == torch.float32
    assert torch.equal(loaded.levels, tiny.levels.half().float())
    assert torch.equal(loaded.scale, tiny.scale)


def test_eight_bits_are_a_quarter_of_the_bytes_and_within_half_a_step(tmp_path):
    torch.manual_seed(0)
    model = CDVAE(preset("paper-shallow", (1, 8, 8), (1, 8, 8)))
    sizes = {}
    for dtype in ("float32", "int8"):
        folder = files.save_pretrained(model, tmp_path / dtype, task="t", dtype=dtype)
        sizes[dtype] = (folder / "model.safetensors").stat().st_size
    assert sizes["int8"] < 0.27 * sizes["float32"]
    found = hub.from_pretrained(tmp_path / "int8").state_dict()
    for name, tensor in model.state_dict().items():
        if tensor.dim() < 2:
            assert torch.equal(found[name], tensor)
            continue
        step = tensor.flatten(1).abs().amax(1) / 127
        assert ((found[name] - tensor).flatten(1).abs().amax(1) <= 0.5001 * step).all()


def test_loading_leaves_the_callers_random_numbers_alone(folder):
    torch.manual_seed(3)
    wanted = torch.rand(4)
    torch.manual_seed(3)
    hub.from_pretrained(folder)
    assert torch.equal(torch.rand(4), wanted)


def test_a_run_folder_stands_for_its_model(folder):
    assert hub.find_model(folder.parent) == folder


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"version": 4}, "version 4, expected 'coembed-model' version 3"),
        ({"format": "other"}, "format 'other'"),
        ({"kind": "gan"}, "kind is 'gan', expected one of cdvae"),
        ({"extra": 1}, "unknown key 'extra'"),
        ({"config": {"kinds": "x"}}, "kinds: got 'x'"),
        ({"config": {"kinds": 0}}, "kinds is 0, expected at least 1"),
        ({"config": {"colour": 1}}, "unknown key 'colour'"),
        ({"config": {"kinds": 5}}, r"'levels' has shape \(3, 1\), expected \(5, 1\)"),
    ],
)
def test_a_config_that_does_not_fit_is_refused_with_the_files_name(folder, changes, message):
    edit_config(folder, **changes)
    with pytest.raises(ModelError, match=message) as caught:
        hub.from_pretrained(folder)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda t: t.pop("levels"), "tensor 'levels' is missing"),
        (lambda t: t.update(more=torch.zeros(1)), "unknown tensor 'more'"),
        (lambda t: t.update(levels=torch.zeros(3)), r"shape \(3,\), expected \(3, 1\)"),
        (lambda t: t.update(levels=torch.full((3, 1), torch.nan)), "not finite"),
        (lambda t: t.update(steps=torch.tensor(7.0)), "'steps' is torch.float32, expected torch.int64"),
    ],
)
def test_weights_that_do_not_fit_are_refused_with_the_files_name(folder, spoil, message):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    spoil(tensors)
    save_file(tensors, path)
    with pytest.raises(ModelError, match=message) as caught:
        hub.from_pretrained(folder)
    assert str(path) in str(caught.value)


def test_truncated_missing_and_foreign_files_are_refused(folder):
    path = folder / "model.safetensors"
    data = path.read_bytes()
    for spoilt in (data[:-3], data[:5], b"", b"\x80\x04pickle"):
        path.write_bytes(spoilt)
        with pytest.raises(ModelError, match="not a whole safetensors file"):
            hub.from_pretrained(folder)
    path.unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        hub.from_pretrained(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelError, match="not valid JSON"):
        hub.from_pretrained(folder)


def test_names_that_lead_nowhere_say_what_is_wanted(tmp_path):
    with pytest.raises(ModelError, match="no such model; expected a bundled name"):
        hub.from_pretrained("nothing-of-that-name")
    with pytest.raises(ModelError, match=r"no model here; expected config\.json"):
        hub.from_pretrained(tmp_path)


def test_a_hub_id_without_the_extra_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(ModelError, match=r"pip install 'coembed\[hub\]'"):
        hub.from_pretrained("owner/name")


def test_saving_refuses_what_could_not_be_loaded(tiny, tmp_path):
    with pytest.raises(ModelError, match="Linear is no kind of model"):
        files.save_pretrained(torch.nn.Linear(1, 1), tmp_path, task="t")
    with torch.no_grad():
        tiny.levels[0] = 1e6
    with pytest.raises(ModelError, match=r"levels: not finite as torch.float16 \(largest magnitude 1e\+06\)"):
        files.save_pretrained(tiny, tmp_path / "a", task="t", dtype="float16")
    assert not (tmp_path / "a").exists()
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(ModelError, match="cannot be written"):
        files.save_pretrained(tiny, blocker / "x", task="t")


@pytest.mark.parametrize("version", [1, 2])
def test_a_folder_of_an_older_format_says_what_to_do(folder, version):
    edit_config(folder, version=version)
    with pytest.raises(
        ModelError, match=r"expected .* version 3: a model of an earlier CoEmbed, whose kind is gone"
    ):
        hub.from_pretrained(folder)


def test_temperatures_are_written_and_checked_when_they_are_read(tmp_path):
    model = CDVAE(preset("paper-shallow", (1, 8, 8), (1, 8, 8))).with_sampling(SamplingConfig((0.8,)))
    folder = files.save_pretrained(model, tmp_path / "model", task="t")
    assert hub.from_pretrained(folder).sampling == model.sampling
    text = (folder / "sampling.json").read_text()
    (folder / "sampling.json").write_text(text.replace("temperatures", "warmth"))
    with pytest.raises(ModelError, match=r"sampling\.json.*unknown key 'warmth'"):
        hub.from_pretrained(folder)
    (folder / "sampling.json").write_text(text.replace("0.8", "0.8, 1.0"))
    with pytest.raises(ModelError, match="temperatures: got 2, expected one per layer: 1"):
        hub.from_pretrained(folder)
