"""The ``coembed`` command. Each verb imports what it needs when it is called, so that help answers at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from types import FunctionType
from typing import Any

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
  evaluate MODEL              a model's samples against held-out truth, beside simple baselines
  leak FOLDER                 does a condition tell the field by how photos are stored? models and pairs
  reproduce                   the paper's tables and figures on your own pairs, in one page
  doctor                      what works here and what does not, in one screen

  coembed VERB --help         the options of a verb
  coembed --version

Errors are one line; COEMBED_DEBUG=1 shows where they come from.
"""


# Verb: its options (a dataclass, or a function of the arguments) and what runs them, in ``coembed.cli``.
VERBS: dict[str, tuple[str, str]] = {
    "resaturate": ("edit:ResaturateConfig", "edit:run"),
    "relight": ("edit:RelightConfig", "edit:run"),
    "edit": ("edit:EditConfig", "edit:run"),
    "motion": ("motion:MotionConfig", "motion:run"),
    "upsample": ("upsample:UpsampleConfig", "upsample:run"),
    "prepare": ("prepare_options:PrepareConfig", "prepare:run"),
    "embed": ("embed:EmbedConfig", "embed:run"),
    "train": ("train:parse_train", "train:run"),
    "evaluate": ("evaluate:EvaluateConfig", "evaluate:run"),
    "leak": ("leak:LeakConfig", "leak:run"),
    "reproduce": ("reproduce.options:ReproduceConfig", "reproduce.run:run"),
    "doctor": ("doctor:DoctorConfig", "doctor:run"),
}


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
    if verb not in VERBS:
        print(f"coembed: unknown verb {verb!r}, expected one of {', '.join(VERBS)}", file=sys.stderr)
        return 2
    return _guarded(verb, rest)


def _guarded(verb: str, arguments: list[str]) -> int:
    """Run a verb; mistakes of the user end in one line, Ctrl-C in 130."""
    from coembed.errors import CoEmbedError

    try:
        return _run(verb, arguments)
    except (CoEmbedError, KeyboardInterrupt) as error:
        if os.environ.get("COEMBED_DEBUG") == "1":
            raise
        interrupted = isinstance(error, KeyboardInterrupt)
        print(f"coembed: {'interrupted' if interrupted else error}", file=sys.stderr)
        return 130 if interrupted else 1
    except BrokenPipeError:
        # The reader of a pipe has gone, as in `coembed ... | head`: nothing is left to say, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _run(verb: str, arguments: list[str]) -> int:
    """Read the options, then run what they are for: mistakes are told before anything heavy is loaded."""
    options, run = VERBS[verb]
    parser = _find(options)
    if isinstance(parser, FunctionType):
        config = parser(arguments)
    else:
        import tyro

        config = tyro.cli(parser, prog=f"coembed {verb}", args=arguments)
    return _find(run)(config)


def _find(place: str) -> Any:
    """MODULE:NAME in ``coembed.cli``."""
    module, name = place.split(":")
    return getattr(import_module(f"coembed.cli.{module}"), name)
