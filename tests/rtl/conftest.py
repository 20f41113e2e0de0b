"""Tools for the tests of generated hardware; tests that need one are skipped where it is absent."""

from __future__ import annotations

from pathlib import Path

import pytest

from flow.errors import ToolError
from flow.rtl.verilator import Verilator, find_verilator
from flow.rtl.yosys import Yosys, find_yosys


@pytest.fixture(scope="session")
def verilator() -> Verilator:
    """Verilator and a C++ compiler."""
    try:
        return find_verilator()
    except ToolError as error:
        pytest.skip(f"needs Verilator and a C++ compiler: {error}")


@pytest.fixture(scope="session")
def yosys() -> Yosys:
    """Yosys, native or from a Python package."""
    try:
        return find_yosys()
    except ToolError as error:
        pytest.skip(f"needs Yosys: {error}")


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for compiled simulations and counted cells, shared by all tests of a run."""
    return tmp_path_factory.mktemp("rtl_cache")
