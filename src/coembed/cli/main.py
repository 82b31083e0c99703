"""The ``coembed`` command. Each verb imports what it needs when it is called, so that help answers at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from coembed.cli.edit import BatchConfig

_HELP = """\
usage: coembed VERB ...

Many distinct, plausible fields for one photo, learned from scattered pairs.

  resaturate PHOTO...         n natural, different versions of each photo, at its own size: other saturations
  relight PHOTO...            the same in other light
  edit PHOTO... --model DIR   the same by a model of any task, your own included
  motion FRAME...             n kinds of motion that may follow each frame: arrows, colours, flow, animations
  upsample FIELD --guide PHOTO
                              a low-resolution field at the photo's resolution, along its edges
  prepare coco|folder|pairs|ucf101|video
                              pairs to learn from, out of photos, files of your own or clips
  embed                       which pairs are similar: a map of thumbnails, before training
  train                       a model from pairs
  calibrate MODEL             how widely a model's samples spread, fitted on held-out pairs
  evaluate MODEL              a model's samples against held-out truth, beside simple baselines
  reproduce                   the paper's tables and figures on your own pairs, in one page
  doctor                      what works here and what does not, in one screen

  coembed VERB --help         the options of a verb
  coembed --version

Errors are one line; COEMBED_DEBUG=1 shows where they come from.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb.

    Args:
        argv: arguments without the program's name; those of the process by default.

    Returns:
        The exit status: 0 done, 1 an error that was explained, 2 a wrong command line, 130 interrupted.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_HELP, end="")
        return 0 if arguments else 2
    if arguments[0] in ("-V", "--version"):
        import coembed

        print(f"coembed {coembed.__version__}")
        return 0
    verb, rest = arguments[0], arguments[1:]
    if verb not in _VERBS:
        print(f"coembed: unknown verb {verb!r}, expected one of {', '.join(_VERBS)}", file=sys.stderr)
        return 2
    return _guarded(_VERBS[verb], rest)


def _guarded(verb: Callable[[list[str]], int], arguments: list[str]) -> int:
    """Run a verb; mistakes of the user end in one line, Ctrl-C in 130."""
    from coembed.errors import CoEmbedError

    try:
        return verb(arguments)
    except CoEmbedError as error:
        if os.environ.get("COEMBED_DEBUG") == "1":
            raise
        print(f"coembed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        if os.environ.get("COEMBED_DEBUG") == "1":
            raise
        print("coembed: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of a pipe has gone, as in `coembed ... | head`: nothing is left to say, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _resaturate(arguments: list[str]) -> int:
    from coembed.cli.edit import ResaturateConfig

    return _edited("resaturate", ResaturateConfig, arguments)


def _relight(arguments: list[str]) -> int:
    from coembed.cli.edit import RelightConfig

    return _edited("relight", RelightConfig, arguments)


def _edit(arguments: list[str]) -> int:
    from coembed.cli.edit import EditConfig

    return _edited("edit", EditConfig, arguments)


def _edited(verb: str, config: type[BatchConfig], arguments: list[str]) -> int:
    import tyro

    from coembed.cli.edit import run_batch

    return 1 if run_batch(tyro.cli(config, prog=f"coembed {verb}", args=arguments)).failures else 0


def _motion(arguments: list[str]) -> int:
    import tyro

    from coembed.cli.motion import MotionConfig, run_motion

    return 1 if run_motion(tyro.cli(MotionConfig, prog="coembed motion", args=arguments)).failures else 0


def _upsample(arguments: list[str]) -> int:
    import tyro

    from coembed.cli.upsample import UpsampleConfig, run_upsample

    run_upsample(tyro.cli(UpsampleConfig, prog="coembed upsample", args=arguments))
    return 0


def _prepare(arguments: list[str]) -> int:
    import tyro

    from coembed.cli.prepare import run_prepare
    from coembed.cli.prepare_options import PrepareConfig

    print(run_prepare(tyro.cli(PrepareConfig, prog="coembed prepare", args=arguments)).text())
    return 0


def _embed(arguments: list[str]) -> int:
    import tyro

    from coembed.cli.embed import EmbedConfig, run_embed

    print(run_embed(tyro.cli(EmbedConfig, prog="coembed embed", args=arguments)))
    return 0


def _train(arguments: list[str]) -> int:
    from coembed.cli.train import parse_train

    config = parse_train(arguments)
    from coembed.training.run import run_train  # imports torch: after the options are known to be good

    run_train(config)
    return 0


def _evaluate(arguments: list[str]) -> int:
    import tyro

    from coembed.cli.evaluate import EvaluateConfig

    config = tyro.cli(EvaluateConfig, prog="coembed evaluate", args=arguments)
    from coembed.cli.evaluate import run_evaluate  # imports torch: after the options are known to be good

    run_evaluate(config)
    return 0


def _calibrate(arguments: list[str]) -> int:
    import tyro

    from coembed.cli.calibrate import CalibrateConfig

    config = tyro.cli(CalibrateConfig, prog="coembed calibrate", args=arguments)
    from coembed.cli.calibrate import run_calibrate  # imports torch: after the options are known good

    run_calibrate(config)
    return 0


def _reproduce(arguments: list[str]) -> int:
    import tyro

    from coembed.cli.reproduce.options import ReproduceConfig

    config = tyro.cli(ReproduceConfig, prog="coembed reproduce", args=arguments)
    from coembed.cli.reproduce.run import run_reproduce  # imports torch: after the options are known to be good

    run_reproduce(config)
    return 0


def _doctor(arguments: list[str]) -> int:
    import tyro

    from coembed.cli.doctor import DoctorConfig, run_doctor

    return run_doctor(tyro.cli(DoctorConfig, prog="coembed doctor", args=arguments))


_VERBS: dict[str, Callable[[list[str]], int]] = {
    "resaturate": _resaturate,
    "relight": _relight,
    "edit": _edit,
    "motion": _motion,
    "upsample": _upsample,
    "prepare": _prepare,
    "embed": _embed,
    "train": _train,
    "calibrate": _calibrate,
    "evaluate": _evaluate,
    "reproduce": _reproduce,
    "doctor": _doctor,
}
