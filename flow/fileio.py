"""Reading YAML and JSON from users, and writing files so that a crash or a full disk never damages them."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from flow.errors import InputError, ToolError


def read_text(path: Path, what: str) -> str:
    """The text of ``path``. Raises InputError naming ``what`` if it can't be read as UTF-8."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise InputError(f"cannot read {what} {path}: {reason}") from error


def read_yaml(path: Path, what: str) -> dict[str, Any]:
    """The mapping in the YAML file ``path`` (``safe_load``). Raises InputError with file and line."""
    import yaml

    try:
        data = yaml.safe_load(read_text(path, what))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise InputError(f"{path}{line}: not valid YAML: {getattr(error, 'problem', error)}") from error
    except RecursionError as error:
        raise InputError(f"{path}: nested too deeply") from error
    if not isinstance(data, dict):
        raise InputError(f"{path}: expected a mapping of fields, found {type(data).__name__}")
    return data


def read_json(path: Path, what: str) -> Any:
    """The JSON value in ``path``. Raises InputError with file and line."""
    try:
        return json.loads(read_text(path, what))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: not valid JSON: {error.msg}") from error
    except RecursionError as error:
        raise InputError(f"{path}: nested too deeply") from error


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
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise ToolError(f"cannot write {path}: {error.strerror}") from error


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically. Infinite and NaN numbers are refused by ValueError."""
    write_atomic(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def data_dir(name: str) -> Path:
    """The folder of shipped files called ``name`` (boards, templates, vivado_scripts): in the wheel, else in the clone."""
    package = Path(__file__).resolve().parent
    shipped = package / "_data" / name
    return shipped if shipped.is_dir() else package.parent / name
