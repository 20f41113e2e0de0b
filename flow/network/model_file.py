"""Opening a model file without running anything that is in it: the one way every command reads a ``.keras`` file.

A ``.keras`` file is an archive with a configuration that names classes to make. What it names is looked at before
Keras sees it: only classes of Keras and QKeras are made, no lambdas and no pickles.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from flow.errors import InputError

MAX_CONFIG = 1 << 26
"""Most bytes of config.json accepted."""
MAX_REASON = 300
"""Longest piece of an error of Keras that is passed on: it likes to print whole configurations."""
_MODULES = ("keras", "qkeras", "builtins")
_FORBIDDEN = {"Lambda": "a Lambda layer is program code", "__lambda__": "a lambda is program code"}


def load_model(path: Path) -> Any:
    """The Keras model in the file ``path``, without its optimizer.

    Raises InputError with the file and the reason: not a .keras archive, program code in it, classes that are
    neither Keras' nor QKeras', or a failure while it is built. Raises MissingDependency without the frameworks.
    """
    check_archive(path)
    from flow.network.qkeras_model import import_qkeras

    qkeras = import_qkeras()
    import keras

    try:
        return keras.saving.load_model(path, custom_objects=_repaired(qkeras), compile=False, safe_mode=True)
    except Exception as error:  # Keras raises whatever its parsers raise
        raise InputError(f"cannot read model {path}: {_reason(error)}") from error


def check_archive(path: Path) -> None:
    """Look at what a .keras file would make. Raises InputError naming what is refused and where it is."""
    if path.suffix != ".keras":
        raise InputError(f"{path}: only .keras files are read; save the model with model.save('NAME.keras')")
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
        name = item.get("class_name")
        if name in _FORBIDDEN:
            raise InputError(f"{path}: {where}: {_FORBIDDEN[name]} and is not loaded")
        if not _is_known(item):
            raise InputError(f"{path}: {where}: class {name} is neither Keras' nor QKeras', and is not loaded")


def _is_known(item: Mapping[str, Any]) -> bool:
    """Whether a serialized object is of Keras, of QKeras, or names no module at all."""
    module = item.get("module")
    if module is None:
        return "module" not in item or str(item.get("registered_name")).startswith("qkeras>")
    return isinstance(module, str) and module.split(".")[0] in _MODULES


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


def _repaired(qkeras: Any) -> dict[str, Any]:
    """Custom objects with which QKeras layers load that QKeras (qkeras-v3 1.2.1) saves but does not load by itself.

    QDenseBatchnorm is not registered, and its configuration has arguments of Keras 2 that it refuses.
    QDepthwiseConv2DBatchnorm stores its iteration twice, and takes the second for a variable too many.
    """

    def dense_from_config(config: Mapping[str, Any]) -> Any:
        obsolete = ("synchronized", "renorm", "renorm_clipping", "renorm_momentum")
        return qkeras.QDenseBatchnorm.from_config({k: v for k, v in config.items() if k not in obsolete})

    depthwise = qkeras.QDepthwiseConv2DBatchnorm

    def load_own_variables(self: Any, store: Any) -> None:
        names = set(store.keys()) - {"iteration"}
        super(depthwise, self).load_own_variables({name: store[name] for name in names})

    depthwise.load_own_variables = load_own_variables  # registered: a custom object would not be looked at
    return {"QDenseBatchnorm": SimpleNamespace(from_config=dense_from_config)}


def _reason(error: Exception) -> str:
    """What went wrong, in one line: the innermost of the errors that Keras wraps into each other."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    inner = [line.removeprefix("Exception encountered:") for line in lines if line.startswith("Exception encountered:")]
    text = inner[-1] if inner else " ".join(lines[: 1 + lines[0].endswith(":")])
    text = " ".join(text.split())
    return text if len(text) <= MAX_REASON else f"{text[: MAX_REASON - 1]}…"
