"""The versions that go with every result."""

from __future__ import annotations

import platform
from importlib import metadata

from flow import __version__

PACKAGES = ("numpy", "optuna", "scikit-learn", "tensorflow", "keras", "qkeras-v3", "hls4ml", "da4ml")


def versions() -> dict[str, str]:
    """Version of this program, of Python, and of the installed packages results depend on; nothing is imported."""
    found = {"fpga-nas-flow": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
