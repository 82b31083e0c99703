"""House rules that a linter does not know: sizes of files and functions, words, protocols in place of looks."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
CODE = [*SOURCES, *sorted((ROOT / "benchmarks").rglob("*.py")), *sorted((ROOT / "scripts").rglob("*.py"))]
PAGES = [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md"))]
MAX_FILE_LINES, MAX_FUNCTION_LINES = 350, 60

RETIRED_NAMES = {
    "seen": "context_maps",
    "sees": "conditional",
    "sight": "context_shape",
    "_look": "encode_context",
    "kinds": "mode_proposals, MODEL_CLASSES, motion_modes",
    "Kinds": "ModeProposals",
    "Given": "EncodedCondition",
    "drawn": "a verb: decode, or a noun: samples",
    "leading": "n_active_dims",
    "doubt": "model_std",
    "evidence": "dataset_stats, log_evidence",
    "Fitted": "AutoConfig",
    "fit_at_once": "fit_closed_form",
    "fit_preset": "autoconfigure",
    "offer": "update",
    "Outcome": "StepResult",
    "Bad": "NonFinite",
    "hold": "truncate_noise, load_all",
    "pull": "target",
    "Pull": "LatentTarget",
}
RETIRED_PARTS = re.compile(r"^_?(?:LEAST|MOST|FEWEST|FARTHEST|LARGEST|SMALLEST|LONGEST|SHORTEST)(?:_|$)")
LOOKS = {"hasattr": "isinstance with a protocol of models/base.py", "signature": "the same"}
UNITS = (
    "layer code latent pair condition pixel photo channel field dimension sample draw second step epoch cell "
    "frame clip row component particle side class split minute item scene core unit value word segment method"
)
COUNTED = (
    "one nats bits fields? values? numbers? samples? draws? pairs? rows? images? photos? pictures? frames? "
    "pixels? minutes seconds milliseconds hours times vectors? lines? steps? codes? latents? cells? units? "
    "scale variance weights? columns? entry row number deviation regressions? files? views? components? crops?"
)
A_FOR_PER = re.compile(
    rf"\b(?:{'|'.join(COUNTED.split())}) an? (?:{'|'.join(UNITS.split())})\b(?! (?:of|that|which))"
)


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def where(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def functions(path: Path):
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def names(path: Path):
    """Every name that a file defines or uses, with its line."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Name):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute):
            yield node.attr, node.lineno
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.arg | ast.keyword) and node.arg:
            yield node.arg, node.lineno
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).split(".")[-1], node.lineno


def test_no_file_is_two_ideas():
    long = {
        str(p.relative_to(ROOT)): n for p in SOURCES if (n := len(p.read_text().splitlines())) > MAX_FILE_LINES
    }
    assert not long


def test_no_function_is_two_ideas():
    """Lines of code: without docstring, comments and blank lines."""
    long = []
    for path in SOURCES:
        lines = path.read_text().splitlines()
        for node in functions(path):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            first = body[0].lineno if body else node.lineno
            code = [
                x for x in lines[first - 1 : node.end_lineno] if x.strip() and not x.strip().startswith("#")
            ]
            if len(code) > MAX_FUNCTION_LINES:
                long.append(f"{where(path, node.lineno)} {node.name}: {len(code)}")
    assert not long


def test_retired_names_stay_away():
    found = [
        f"{where(path, line)} {name}: {RETIRED_NAMES.get(name, 'MIN_... or MAX_...')}"
        for path in CODE
        for name, line in names(path)
        if name in RETIRED_NAMES or RETIRED_PARTS.match(name)
    ]
    assert not found


def test_nobody_looks_whether_a_class_has_something():
    found = [f"{where(p, n)} {name}: {LOOKS[name]}" for p in SOURCES for name, n in names(p) if name in LOOKS]
    assert not found


def test_docstrings_begin_with_a_noun_or_an_imperative():
    found = []
    for path in CODE:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                said = (ast.get_docstring(node) or "").split()
                if said and said[0] in ("What", "How", "Whether", "Which", "Where", "If"):
                    found.append(f"{where(path, getattr(node, 'lineno', 1))}: {' '.join(said[:6])}")
    assert not found


@pytest.mark.parametrize("files", [CODE, PAGES], ids=["code", "pages"])
def test_rates_are_per(files):
    found = []
    for path in files:
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            if match := A_FOR_PER.search(line):
                found.append(f"{where(path, number)}: {match[0]!r}")
    assert not found
