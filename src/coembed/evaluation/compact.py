"""JSON that stays readable with thousands of numbers: a key a line, a list on one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from coembed.serialization import write_bytes


def write_compact_json(path: Path | str, data: dict[str, Any]) -> None:
    """Write strict JSON (no NaN), whole or not at all; lists of plain values take one line each.

    Raises:
        ValueError: a number that is not finite.
    """
    write_bytes(path, (_text(data, "") + "\n").encode())


def _text(data: Any, indent: str) -> str:
    inner = indent + "  "
    if isinstance(data, dict) and data:
        lines = [f"{inner}{json.dumps(str(key))}: {_text(value, inner)}" for key, value in data.items()]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    if isinstance(data, (list, tuple)) and any(isinstance(value, dict) for value in data):
        return "[\n" + ",\n".join(inner + _text(value, inner) for value in data) + f"\n{indent}]"
    if isinstance(data, (list, tuple)):
        return "[" + ", ".join(_text(value, inner) for value in data) + "]"
    return json.dumps(data, ensure_ascii=False, allow_nan=False)
