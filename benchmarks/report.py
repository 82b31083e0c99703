"""The tables and curves of a report (`coembed reproduce`), small enough for the repository, without any photo.

    coembed reproduce --pairs PAIRS/resaturation PAIRS/relighting PAIRS/motion --out REPORT --budget full
    python benchmarks/report.py REPORT

Writes ``results/report/``: ``report.md`` (every table and figure), ``tables/`` (CSV, LaTeX), ``figures/`` (PNG
of few colours) and ``report.json`` (every number with its standard error, ratios and differences to nearest
neighbours, the models' configs). Figures that show photos stay behind.
"""

from __future__ import annotations

import argparse
import io
import shutil
from pathlib import Path
from typing import Any

from PIL import Image

from coembed.errors import ConfigError
from coembed.serialization import read_json, write_bytes, write_json

FIGURES = ("overview", "error_variance", "best_of_n", "calibration", "ranks", "layers")
TABLES = ("errors", "ratios", "scores", "further", "likelihood", "orderings")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("report", type=Path, help="folder of a report")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "report")
    arguments = parser.parse_args()
    data = read_json(arguments.report / "report.json")
    if data.get("format") != "coembed-report":
        raise ConfigError(f"{arguments.report / 'report.json'}: expected the numbers of a report")
    if arguments.out.exists():
        shutil.rmtree(arguments.out)
    names = [section["pairs"] for section in data["sections"]]
    _copy_tables(arguments.report / "tables", arguments.out / "tables", names)
    _copy_figures(arguments.report / "figures", arguments.out / "figures", names)
    write_json(arguments.out / "report.json", data)
    text = _text(data, arguments.report / "tables", arguments.out / "figures")
    write_bytes(arguments.out / "report.md", text.encode())
    size = sum(path.stat().st_size for path in arguments.out.rglob("*") if path.is_file())
    print(f"{arguments.out}: {size / 1e6:.2f} MB")


def _copy_tables(source: Path, target: Path, names: list[str]) -> None:
    for table in [Path("overview"), *[Path(name) / table for name in names for table in TABLES]]:
        for suffix in (".csv", ".tex"):
            path = (source / table).with_suffix(suffix)
            if path.is_file():
                (target / table).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, (target / table).with_suffix(suffix))


def _copy_figures(source: Path, target: Path, names: list[str]) -> None:
    for place in [Path("."), *map(Path, names)]:
        for figure in FIGURES:
            path = source / place / f"{figure}.png"
            if not path.is_file():
                continue
            (target / place).mkdir(parents=True, exist_ok=True)
            buffer = io.BytesIO()
            with Image.open(path) as picture:
                few = picture.convert("RGB").quantize(
                    256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
                )
            few.save(buffer, format="PNG", optimize=True)
            write_bytes(target / place / f"{figure}.png", buffer.getvalue())


def _text(data: dict[str, Any], tables: Path, figures: Path) -> str:
    facts = "; ".join(f"{name} {value}" for name, value in data["facts"].items())
    lines = ["# The paper's evaluation on our data", "", f"Made by `benchmarks/report.py`. {facts}.", ""]
    lines += _part(tables, figures, Path("."), ("overview",))
    for section in data["sections"]:
        first = section["methods"][0]
        lines += [
            f"# {section['pairs']}",
            "",
            f"{first['conditions']} held-out photos, {first['samples']} samples each.",
            "",
        ]
        lines += _part(tables, figures, Path(section["pairs"]), TABLES)
    return "\n".join(lines)


def _part(tables: Path, figures: Path, place: Path, wanted: tuple[str, ...]) -> list[str]:
    lines = []
    for table in wanted:
        path = tables / place / f"{table}.md"
        if path.is_file():
            lines += [path.read_text(), ""]
    for figure in FIGURES:
        if (figures / place / f"{figure}.png").is_file():
            lines += [f"![{figure}](figures/{(place / figure).as_posix()}.png)", ""]
    return lines


if __name__ == "__main__":
    main()
