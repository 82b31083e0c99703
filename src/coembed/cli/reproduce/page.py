"""``index.html``: one file, pictures inside, nothing from elsewhere."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from coembed.cli.output.files import fill_template
from coembed.cli.reproduce.tables import Table, leads
from coembed.serialization import write_bytes


@dataclass(frozen=True)
class Picture:
    """A figure of the page.

    Attributes:
        name: of its file.
        title: above it.
        caption: what is seen.
        data: PNG.
    """

    name: str
    title: str
    caption: str
    data: bytes


@dataclass(frozen=True)
class Section:
    """One folder of pairs.

    Attributes:
        name: of the folder.
        lead: what the data are, in a sentence.
        parts: tables and pictures, in order.
    """

    name: str
    lead: str
    parts: Sequence[Table | Picture]


def write_page(path: Path, title: str, facts: Sequence[tuple[str, str]], sections: Sequence[Section]) -> None:
    """Write the page; the pictures are inside, so the file can be sent alone."""
    links = "".join(f'<a href="#{_id(s.name)}">{_text(s.name)}</a>' for s in sections)
    listed = "".join(f"<li><span>{_text(name)}</span> {_text(value)}</li>" for name, value in facts)
    body = "\n".join(_section(section) for section in sections)
    template = Path(__file__).with_name("page.html")
    page = fill_template(template, title=_text(title), links=links, facts=listed, body=body)
    write_bytes(path, page.encode("utf-8", "replace"))


def _section(section: Section) -> str:
    parts = "\n".join(_table(p) if isinstance(p, Table) else _picture(p) for p in section.parts)
    head = f"<h2>{_text(section.name)}</h2><p>{_text(section.lead)}</p>"
    return f'<section id="{_id(section.name)}">{head}{parts}</section>'


def _table(table: Table) -> str:
    first = leads(table)
    head = "".join(f"<th>{_text(cell)}</th>" for cell in table.rows[0])
    lines = []
    for i, row in enumerate(table.rows[1:], 1):
        cells = []
        for j, cell in enumerate(row):
            classes = " ".join(
                kind
                for kind, holds in (("lead", (i, j) in first), ("paper", table.rows[0][j].startswith("paper")))
                if holds
            )
            cells.append(f'<td class="{classes}">{_text(cell)}</td>' if classes else f"<td>{_text(cell)}</td>")
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return (
        f"<h3>{_text(table.title)}</h3><div class=wide><table><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table></div><p class=note>{_text(table.note)}</p>"
    )


def _picture(picture: Picture) -> str:
    data = base64.b64encode(picture.data).decode()
    return (
        f"<figure><h3>{_text(picture.title)}</h3>"
        f'<img alt="{_text(picture.title)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{_text(picture.caption)}</figcaption></figure>"
    )


def _id(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name)


def _text(value: str) -> str:
    return html.escape(value)
