"""Reading YAML and JSON from users, and writing files so that a crash or a full disk never damages them."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from flow.errors import InputError, ToolError

MAX_DEPTH = 64
"""Deepest nesting accepted from a file: far more than any of ours has, far less than Python's recursion limit."""

MAX_VALUES = 1_000_000
"""Most values a YAML file may stand for once its aliases are followed (each alias can double what is before it)."""

MAX_DIGITS = 32
"""Longest whole number accepted from YAML, in characters. Hexadecimal ones have no limit in Python."""


def read_text(path: Path, what: str) -> str:
    """The text of ``path``, without a byte order mark. Raises InputError naming ``what`` if it isn't readable UTF-8."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot read {what} {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"cannot read {what} {path}: not UTF-8 text") from error
    except ValueError as error:  # a null character
        raise InputError(f"cannot read {what} {str(path)!r}: not a file name") from error


def read_yaml(path: Path, what: str) -> dict[str, Any]:
    """The mapping in the YAML file ``path`` (``safe_load``). Raises InputError with file and line.

    A field that is there twice, which YAML forbids and PyYAML overlooks, is refused too.
    """
    import yaml

    text = read_text(path, what)
    try:
        loader = _loader()(text)
        try:
            node = loader.get_single_node()
            if node is not None:
                _check_nodes(node, path)
            data = None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        reason = " ".join(str(getattr(error, "problem", None) or error).split())
        raise InputError(f"{path}{line}: not valid YAML: {reason}") from error
    except RecursionError as error:
        raise InputError(f"{path}: nested too deeply") from error
    except (ValueError, LookupError, AttributeError, TypeError) as error:  # what PyYAML lets out: !!int x, 2001-99-99
        raise InputError(f"{path}: not valid YAML: a value is not of its type") from error
    if not isinstance(data, dict):
        raise InputError(f"{path}: expected a mapping of fields, found {type(data).__name__}")
    return data


def yaml_line(path: Path, field: str, what: str) -> int | None:
    """The line a dotted field (``layers.0.units``) of a YAML file starts on, or its nearest parent that has one."""
    import yaml

    node = yaml.compose(read_text(path, what), Loader=_loader())
    line = None
    for key in field.split("."):
        if isinstance(node, yaml.MappingNode):
            pair = next(((k, v) for k, v in node.value if k.value == key), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and key.isdecimal() and int(key) < len(node.value):
            node = node.value[int(key)]
            line = node.start_mark.line + 1
        else:
            break
    return line


def _loader() -> Any:
    """PyYAML's safe loader: libyaml's, ten times as fast, where it was built with it."""
    import yaml

    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _check_nodes(root: Any, path: Path) -> None:
    """Refuse what is valid for PyYAML but not for us: doubled fields, loops, aliases and numbers without end."""
    import yaml

    values = 0
    waiting = [(root, 0)]
    while waiting:
        node, depth = waiting.pop()
        values += 1
        where = f"{path}:{node.start_mark.line + 1}"
        if depth > MAX_DEPTH:
            raise InputError(f"{where}: nested too deeply")
        if values > MAX_VALUES:
            raise InputError(f"{where}: aliases make this file too large")
        if isinstance(node, yaml.MappingNode):
            seen = set()
            for key, value in node.value:
                waiting += [(key, depth + 1), (value, depth + 1)]
                if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                    if (key.tag, key.value) in seen:
                        raise InputError(f"{path}:{key.start_mark.line + 1}: field {key.value!r} is there twice")
                    seen.add((key.tag, key.value))
        elif isinstance(node, yaml.SequenceNode):
            waiting += [(value, depth + 1) for value in node.value]
        elif node.tag == "tag:yaml.org,2002:int" and len(node.value) > MAX_DIGITS:
            raise InputError(f"{where}: this number is too long")


def read_json(path: Path, what: str) -> Any:
    """The JSON value in ``path``. Raises InputError with file and line."""
    try:
        value = json.loads(read_text(path, what))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: not valid JSON: {error.msg}") from error
    except ValueError as error:  # sys.get_int_max_str_digits
        raise InputError(f"{path}: not valid JSON: a number is too long") from error
    except RecursionError as error:
        raise InputError(f"{path}: nested too deeply") from error
    if _deeper_than(value, MAX_DEPTH):
        raise InputError(f"{path}: nested too deeply")
    return value


def _deeper_than(value: Any, depth: int) -> bool:
    level = [value]
    for _ in range(depth + 1):
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return False
    return True


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write ``content`` to ``path`` through a temporary file beside it, so that readers see all of it or none.

    Raises ToolError with the reason (disk full, not writable); the old content then still stands.
    """
    data = content.encode() if isinstance(content, str) else content
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise ToolError(f"cannot write {path}: {error.strerror}") from error
    finally:
        if temporary is not None:  # an interrupt, too, must leave nothing behind
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically. Infinite and NaN numbers are refused by ValueError."""
    write_atomic(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def data_dir(name: str) -> Path:
    """The folder of shipped files called ``name`` (boards, templates, vivado_scripts): the wheel's or the clone's."""
    package = Path(__file__).resolve().parent
    shipped = package / "_data" / name
    return shipped if shipped.is_dir() else package.parent / name
