"""Opening a user's model file without running anything that is in it.

A ``.keras`` file is an archive with a configuration that names classes to make. What it names is looked at before
Keras sees it: only classes of Keras and QKeras are made, no lambdas and no pickles.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flow.errors import InputError

MAX_CONFIG = 1 << 26
"""Most bytes of config.json accepted."""
_MODULES = ("keras", "qkeras", "builtins")
_FORBIDDEN = {"Lambda": "a Lambda layer is program code", "__lambda__": "a lambda is program code"}


def load_model(path: Path) -> Any:
    """The Keras model in the file ``path``, without its optimizer.

    Raises InputError with the file and the reason: not a .keras archive, program code in it, classes that are
    neither Keras' nor QKeras', or a failure while it is built. Raises MissingDependency without the frameworks.
    """
    if path.suffix != ".keras":
        raise InputError(f"{path}: only .keras files are read; save the model with model.save('NAME.keras')")
    check_archive(path)
    from flow.network import qkeras_model

    return qkeras_model.load_model(path)


def check_archive(path: Path) -> None:
    """Look at what a .keras file would make. Raises InputError naming what is refused and where it is."""
    try:
        with zipfile.ZipFile(path) as archive:
            if "config.json" not in archive.namelist():
                raise InputError(f"{path}: not a Keras model: no config.json in it")
            if archive.getinfo("config.json").file_size > MAX_CONFIG:
                raise InputError(f"{path}: its config.json is larger than {MAX_CONFIG} bytes")
            config = json.loads(archive.read("config.json"))
    except OSError as error:
        raise InputError(f"cannot read model {path}: {error.strerror}") from error
    except (zipfile.BadZipFile, ValueError, RecursionError, NotImplementedError, RuntimeError, zlib.error) as error:
        raise InputError(f"{path}: not a Keras model: {error}") from error
    for where, item in _objects(config, "model"):
        name, module = item.get("class_name"), item.get("module")
        if name in _FORBIDDEN:
            raise InputError(f"{path}: {where}: {_FORBIDDEN[name]} and is not loaded")
        known = module.split(".")[0] in _MODULES if isinstance(module, str) else "module" not in item
        if not known and not str(item.get("registered_name")).startswith("qkeras>"):
            raise InputError(f"{path}: {where}: class {name} is neither Keras' nor QKeras', and is not loaded")


def _objects(value: Any, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every serialized object in a configuration, with the name of the layer it belongs to."""
    stack = [(value, where)]
    while stack:
        value, where = stack.pop()
        if isinstance(value, dict):
            name = value.get("name")
            config = value.get("config")
            if isinstance(config, dict) and isinstance(config.get("name"), str):
                where = f"layer {config['name']}"
            elif isinstance(name, str) and "class_name" in value:
                where = f"layer {name}"
            if "class_name" in value:
                yield where, value
            stack += [(v, where) for v in value.values()]
        elif isinstance(value, list):
            stack += [(v, where) for v in value]
