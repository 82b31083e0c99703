import dataclasses
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

import coembed
from coembed.cli import doctor
from coembed.cli import main as cli
from coembed.errors import CoEmbedError
from coembed.models import files
from coembed.models import pretrained as hub

HEAVY = ("torch", "cv2", "scipy", "numpy", "PIL", "tyro")


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "coembed", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize("code", ["import coembed", "from coembed.cli.main import main; main(['--help'])"])
def test_import_and_help_load_nothing_heavy(code):
    code += f"; import sys; print('LOADED', [m for m in {HEAVY} if m in sys.modules])"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.rstrip().endswith("LOADED []")


def test_help_answers_in_half_a_second():
    best = min(_seconds("--help") for _ in range(3))
    assert best < 0.5


def _seconds(*arguments):
    start = time.perf_counter()
    assert run(*arguments).returncode == 0
    return time.perf_counter() - start


@pytest.mark.parametrize("verb", sorted(cli.VERBS))
def test_the_help_of_every_verb_needs_no_torch_and_every_option_is_explained(verb):
    code = (
        "import sys\nfrom coembed.cli.main import main\n"
        f"try:\n    main([{verb!r}, '--help'])\nexcept SystemExit:\n    pass\n"
        "print('LOADED', 'torch' in sys.modules)"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.rstrip().endswith("LOADED False")
    assert f"usage: coembed {verb}" in output


def test_every_verb_stands_in_the_help(capsys):
    assert cli.main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"\n  {verb} " in text for verb in cli.VERBS)


def test_no_verb_and_an_unknown_one_are_status_2(capsys):
    assert cli.main([]) == 2
    assert cli.main(["paint"]) == 2
    assert "unknown verb 'paint', expected one of" in capsys.readouterr().err


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"coembed {coembed.__version__}\n"


def test_an_error_is_one_line_and_with_debug_a_traceback(tmp_path, monkeypatch):
    photo, field = tmp_path / "missing.jpg", tmp_path / "f.npy"
    np.save(field, np.zeros((2, 2)))
    failed = run("upsample", str(field), "--guide", str(photo), COEMBED_DEBUG="0")
    assert failed.returncode == 1 and failed.stdout == ""
    assert failed.stderr.count("\n") == 1 and failed.stderr.startswith(f"coembed: {photo}: no such file")
    monkeypatch.setenv("COEMBED_DEBUG", "1")
    with pytest.raises(CoEmbedError, match="no such file"):
        cli.main(["upsample", str(field), "--guide", str(photo)])


@pytest.mark.parametrize("error, status", [(KeyboardInterrupt(), 130), (CoEmbedError("x: bad"), 1)])
def test_interrupts_and_mistakes_have_their_status(monkeypatch, error, status):
    def verb(_):
        raise error

    monkeypatch.delenv("COEMBED_DEBUG", raising=False)
    monkeypatch.setattr(doctor, "run", verb)
    assert cli.main(["doctor"]) == status


@pytest.mark.parametrize("verb, channels", [("resaturate", 3), ("relight", 3), ("edit", 3)])
def test_options_of_editing_verbs_reach_the_job_and_failures_the_status(tiny, tmp_path, verb, channels):
    task = "resaturation" if verb == "resaturate" else "relighting"
    shaped = type(tiny)(dataclasses.replace(tiny.config, condition_shape=(channels, 8, 8)))
    model = files.save_pretrained(shaped, tmp_path / "m", task=task)
    photo = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 20, 3)).astype(np.uint8)).save(photo)
    out = tmp_path / "out"
    arguments = [verb, str(photo), "-n", "2", "--all", "--format", "jpg", "--model", str(model)]
    arguments += ["--strength", "0.5", "--seed", "3"]
    assert cli.main([*arguments, "--out", str(out)]) == 0
    assert sorted(p.name for p in out.glob("a-*")) == ["a-1.jpg", "a-2.jpg"]
    settings = json.loads((out / "samples.json").read_text())
    seen = [settings[name] for name in ("task", "seed", "strength", "distinct")]
    assert seen == [task, 3, 0.5, False]
    assert cli.main([verb, str(tmp_path / "missing.png"), *arguments[2:], "--out", str(out)]) == 1


def test_an_editing_verb_with_another_tasks_model_is_one_line(tiny, tmp_path, capsys):
    model = files.save_pretrained(tiny, tmp_path / "m", task="resaturation")
    assert cli.main(["relight", "x.jpg", "--model", str(model), "--out", str(tmp_path / "out")]) == 1
    assert (
        capsys.readouterr().err
        == f"coembed: {model}: a model for 'resaturation', expected one for 'relighting'\n"
    )


def test_doctor_reports_every_subject(capsys, tmp_path, monkeypatch, tiny):
    monkeypatch.setattr(hub, "BUNDLED", tmp_path / "weights")
    assert cli.main(["doctor", "--out", str(tmp_path)]) == 1
    assert "fail  weights" in capsys.readouterr().out
    files.save_pretrained(tiny, tmp_path / "weights" / "resaturation", task="resaturation")
    assert cli.main(["doctor", "--out", str(tmp_path / "new" / "folder")]) == 0
    text = capsys.readouterr().out
    for subject in ("python", "packages", "processor", "bfloat16", "torchvision", "weights", "writing"):
        assert f" {subject} " in text
    assert not list(tmp_path.glob(".coembed*"))


def test_public_names_exist_and_unknown_ones_do_not():
    for name in coembed.__all__:
        assert getattr(coembed, name) is not None
    assert set(coembed.__all__) <= set(dir(coembed))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        coembed.nothing  # noqa: B018
