"""Frozen dataclasses in and out of strict JSON, and atomic writes of small files.

A config file says exactly what the dataclass says: an unknown key, a missing key without a default, or a
value of the wrong type is an error that names the file, the key, the value seen and the value wanted.
"""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

from coembed.errors import ConfigError

T = TypeVar("T")


def to_dict(config: Any) -> dict[str, Any]:
    """A dataclass (nested ones too) as plain JSON values; tuples become lists."""
    return dataclasses.asdict(config)


def from_dict(cls: type[T], data: Any, where: str) -> T:
    """Build ``cls`` from JSON values, strictly.

    Args:
        cls: a dataclass whose fields are bool, int, float, str, Literal, Optional, tuple or dataclasses.
        data: what ``json.load`` gave.
        where: names the source in errors, e.g. the file's path.

    Raises:
        ConfigError: unknown or missing key, wrong type, or a literal outside its set.
    """
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: expected an object with the fields of {cls.__name__}, got {data!r}")
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(set(data) - set(fields))
    if unknown:
        raise ConfigError(f"{where}: unknown key {unknown[0]!r}; {cls.__name__} has: {', '.join(fields)}")
    values = {}
    for name, field in fields.items():
        if name in data:
            values[name] = _convert(hints[name], data[name], f"{where}: {name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ConfigError(f"{where}: missing key {name!r} of {cls.__name__}")
    try:
        return cls(**values)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        if value not in args:
            raise ConfigError(f"{where}: got {value!r}, expected one of {', '.join(map(repr, args))}")
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        members = [member for member in args if member is not type(None)]
        return _convert(members[0] if len(members) == 1 else _member(members, value, where), value, where)
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{where}: got {value!r}, expected a list")
        inner = [args[0]] * len(value) if len(args) == 2 and args[1] is Ellipsis else list(args)
        if len(inner) != len(value):
            raise ConfigError(f"{where}: got {len(value)} values, expected {len(inner)}")
        return tuple(_convert(a, v, f"{where}[{i}]") for i, (a, v) in enumerate(zip(inner, value, strict=True)))
    if origin is dict:
        if not isinstance(value, dict):
            raise ConfigError(f"{where}: got {value!r}, expected an object")
        return {_convert(args[0], k, where): _convert(args[1], v, f"{where}[{k!r}]") for k, v in value.items()}
    if dataclasses.is_dataclass(hint):
        return from_dict(typing.cast(type, hint), value, where)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is Any or (isinstance(value, hint) and not (hint is int and isinstance(value, bool))):
        return value
    raise ConfigError(f"{where}: got {value!r} ({type(value).__name__}), expected {hint.__name__}")


def _member(members: list[type], value: Any, where: str) -> type:
    """The dataclass of a union that the value is of: told by the field that is a literal in each, its tag."""
    hints = [typing.get_type_hints(member) for member in members]
    tag = next(name for name, hint in hints[0].items() if typing.get_origin(hint) is typing.Literal)
    tags = [typing.get_args(hint[tag])[0] for hint in hints]
    found = value.get(tag) if isinstance(value, dict) else None
    if found not in tags:
        raise ConfigError(f"{where}: {tag} is {found!r}, expected one of {', '.join(map(repr, tags))}")
    return members[tags.index(found)]


def read_json(path: Path | str) -> Any:
    """Read a JSON file.

    Raises:
        ConfigError: the file is missing or is not JSON; the message names it.
    """
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid JSON ({error})") from None


def write_json(path: Path | str, data: Any) -> None:
    """Write JSON to a temporary name beside ``path`` and rename it: never half a file."""
    write_bytes(path, (json.dumps(data, indent=2, ensure_ascii=False) + "\n").encode())


def write_compact_json(path: Path | str, data: dict[str, Any]) -> None:
    """Write strict JSON (no NaN), whole or not at all; a key per line, lists of plain values on one.

    It stays readable with thousands of numbers.

    Raises:
        ValueError: a number that is not finite.
    """
    write_bytes(path, (_compact(data, "") + "\n").encode())


def write_bytes(path: Path | str, data: bytes) -> None:
    """Write a file whole or not at all: temporary name in the same folder, flushed, renamed."""
    path = Path(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _compact(data: Any, indent: str) -> str:
    inner = indent + "  "
    if isinstance(data, dict) and data:
        lines = [f"{inner}{json.dumps(str(key))}: {_compact(value, inner)}" for key, value in data.items()]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    if isinstance(data, (list, tuple)) and any(isinstance(value, dict) for value in data):
        return "[\n" + ",\n".join(inner + _compact(value, inner) for value in data) + f"\n{indent}]"
    if isinstance(data, (list, tuple)):
        return "[" + ", ".join(_compact(value, inner) for value in data) + "]"
    return json.dumps(data, ensure_ascii=False, allow_nan=False)
