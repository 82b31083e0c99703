"""The options of the verbs are the command line."""

import subprocess
import sys
from pathlib import Path

import tyro

from coembed.cli.prepare_options import PrepareCoco, PrepareConfig, PrepareFolder, PreparePairs


def parse(line):
    return tyro.cli(PrepareConfig, args=line.split())


def test_the_three_verbs_parse_into_their_configs():
    assert parse("coco a b --task resaturation --size 32") == PrepareCoco(Path("a"), Path("b"))
    assert parse("folder a b --size 24x32 --val-fraction 0.2") == PrepareFolder(
        Path("a"), Path("b"), size="24x32", val_fraction=0.2
    )
    assert parse("pairs out --condition c --field f --field-range -1 1 --strict") == PreparePairs(
        Path("out"), Path("c"), Path("f"), field_range=(-1.0, 1.0), strict=True
    )


def test_the_options_import_nothing_heavy():
    heavy = ["torch", "cv2", "scipy", "numpy"]
    code = f"import sys, coembed.cli.prepare; print([m for m in {heavy} if m in sys.modules])"
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert seen.strip() == "[]"
