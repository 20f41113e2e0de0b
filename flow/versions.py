"""The versions that go with every result."""

from __future__ import annotations

import hashlib
import os
import platform
from importlib import metadata
from pathlib import Path

from flow import __version__
from flow.errors import InputError

PACKAGES = ("numpy", "optuna", "scikit-learn", "tensorflow", "keras", "qkeras-v3", "hls4ml", "da4ml")


def versions() -> dict[str, str]:
    """Version of this program, of Python, and of the installed packages results depend on; nothing of them is imported.

    ``coefficients`` is the SHA-256 digest of the predictor's, where the user has chosen a file of them; those shipped
    go with the version of this program. Raises InputError if the file can't be read.
    """
    from flow.estimate.calibrated import VARIABLE

    found = {"fpga-nas-flow": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    name = os.environ.get(VARIABLE)
    if name:
        try:
            found["coefficients"] = f"sha256 {hashlib.sha256(Path(name).read_bytes()).hexdigest()}"
        except OSError as error:
            raise InputError(f"{VARIABLE}: {name} can't be read: {error.strerror}") from error
    return found
