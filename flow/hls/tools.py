"""The AMD tools: which of them is there, in which release, and how a script is run with it.

A tool is taken from an explicit path (``TOOL=``), else from PATH, else from the folders that the vendor's set-up
scripts leave in XILINX_* variables. Its release is the one its installation folder is called after, else what
the tool answers when asked.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from flow.errors import InputError, ToolError
from flow.programs import VERSION_TIMEOUT_S, ask_version, search_path, version_from_path

Kind = Literal["vivado_hls", "vitis_hls", "vitis-run", "vivado"]
Backend = Literal["Vivado", "Vitis"]


@dataclass(frozen=True)
class Vendor:
    """What is known of a vendor tool: its set-up variables, the releases we support, and how to get it.

    ``roots`` maps variables to the folder of the programs below them. ``first`` and ``last`` are releases as
    (year, number), both included.
    """

    kind: Kind
    roots: Mapping[str, str]
    first: tuple[int, int]
    last: tuple[int, int]
    hint: str
    version_args: tuple[str, ...] = ("-version",)


# Releases: hls4ml 1.3 writes Vivado HLS projects for 2019.2 to 2020.1 (the last release with vivado_hls) and Vitis
# projects from 2022.2 on. `vitis-run --mode hls` came with the unified flow of 2023.2 (UG1399; it is missing in
# 2022.2: hls4ml#1463); 2024.2 is the last release with vitis_hls.
VENDORS: Mapping[Kind, Vendor] = {
    vendor.kind: vendor
    for vendor in (
        Vendor(
            "vivado_hls",
            {"XILINX_VIVADO": "bin", "XILINX_HLS": "bin"},
            (2019, 2),
            (2020, 1),
            "source Vivado's settings64.sh (2019.2 to 2020.1), or set XILINX_VIVADO",
        ),
        Vendor(
            "vitis_hls",
            {"XILINX_HLS": "bin", "XILINX_VITIS": "bin"},
            (2022, 2),
            (2024, 2),
            "source Vitis' settings64.sh, or set XILINX_HLS",
        ),
        Vendor(
            "vitis-run",
            {"XILINX_VITIS": "bin", "XILINX_HLS": "bin"},
            (2023, 2),
            (2025, 9),
            "source Vitis' settings64.sh, or set XILINX_VITIS",
            ("--version",),
        ),
        Vendor(
            "vivado",
            {"XILINX_VIVADO": "bin"},
            (2019, 2),
            (2025, 9),
            "source Vivado's settings64.sh, or set XILINX_VIVADO",
        ),
    )
}

BACKEND_TOOLS: Mapping[Backend, tuple[Kind, ...]] = {
    "Vivado": ("vivado_hls",),
    "Vitis": ("vitis-run", "vitis_hls"),
}
"""The tools that build a project of an hls4ml backend, the preferred one first."""


@dataclass(frozen=True)
class Tool:
    """A vendor tool that was found: ``version`` is its release, as in ``2022.2``."""

    kind: Kind
    path: Path
    version: str

    @property
    def release(self) -> tuple[int, int]:
        """(year, number) of the release: a patch as in 2022.2.1 is not told apart."""
        return release(self.version)

    def __str__(self) -> str:
        return f"{self.kind} {self.version}"

    def script_argv(self, script: str, arguments: Sequence[str] = ()) -> list[str]:
        """The argv that runs the Tcl ``script`` without a window; ``arguments`` become its ``argv``.

        Raises ToolError if the tool can't pass arguments on: the Vitis tools take their options from files.
        """
        program = str(self.path)
        if self.kind == "vivado":
            argv = [program, "-mode", "batch", "-nojournal", "-nolog", "-notrace", "-source", script]
            return [*argv, "-tclargs", *arguments] if arguments else argv
        if self.kind == "vivado_hls":
            return [program, "-f", script, *arguments]
        if arguments:
            raise ToolError(f"{self.kind} passes no arguments on to a script: {' '.join(arguments)}")
        return [program, "--mode", "hls", "--tcl", script] if self.kind == "vitis-run" else [program, "-f", script]


def release(version: str) -> tuple[int, int]:
    """(year, number) of ``2022.2`` or ``2022.2.1``. Raises ToolError on anything else."""
    match = re.match(r"(20\d\d)\.(\d+)(?:\.\d+)*$", version)
    if not match:
        raise ToolError(f"{version!r} is not a release of an AMD tool such as 2022.2")
    return int(match[1]), int(match[2])


@dataclass(frozen=True)
class Finder:
    """Where to look for tools. ``explicit`` is what the user gave as TOOL=: a program or an installation folder."""

    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    explicit: str | None = None
    timeout_s: float = VERSION_TIMEOUT_S

    def find(self, kinds: Sequence[Kind]) -> Tool:
        """The first tool of one of ``kinds``, whatever its release.

        Within one folder the earlier kind counts; an earlier folder on PATH goes before that, so that a set-up
        script sourced last picks the release. Raises ToolError if there is none or it won't tell its release,
        InputError if ``explicit`` names something else.
        """
        program = self._explicit(kinds) if self.explicit else self._on_path(kinds)
        if program is None:
            raise ToolError(f"{' or '.join(kinds)} not found, {self._looked(kinds)}: {VENDORS[kinds[0]].hint}")
        kind = _kind(program.name)
        assert kind is not None
        version = version_from_path(str(program))
        if version is None:
            argv = [str(program), *VENDORS[kind].version_args]
            version, problem = ask_version(argv, self.environment, self.timeout_s)
            if version is None:
                raise ToolError(f"cannot tell the version of {program}: {problem}")
        release(version)
        return Tool(kind, program.absolute(), version)

    def find_hls(self, backend: Backend) -> Tool:
        """The HLS tool that builds projects of an hls4ml ``backend``, in a release that is supported."""
        tool = self.find(BACKEND_TOOLS[backend])
        check_release(tool)
        return tool

    def find_vivado(self) -> Tool:
        """Vivado, in a release that is supported. An ``explicit`` HLS tool does not say which Vivado is meant."""
        explicit = self.explicit
        if explicit and _kind(Path(explicit).name) not in (None, "vivado"):
            explicit = None
        tool = Finder(self.environment, explicit, self.timeout_s).find(("vivado",))
        check_release(tool)
        return tool

    def _looked(self, kinds: Sequence[Kind]) -> str:
        """Where :meth:`_on_path` has looked, in words."""
        places = [f"{name} ({self.environment.get(name) or 'not set'})" for name in _roots(kinds)]
        return f"neither on PATH nor in {', '.join(places)}"

    def _on_path(self, kinds: Sequence[Kind]) -> Path | None:
        for entry in search_path(_roots(kinds), self.environment):
            for folder in entry.split(os.pathsep):
                if found := _program(folder, kinds):
                    return found
        return None

    def _explicit(self, kinds: Sequence[Kind]) -> Path:
        explicit = self.explicit or ""
        if os.sep not in explicit and (named := shutil.which(explicit, path=self.environment.get("PATH"))):
            explicit = named
        path = Path(explicit).expanduser()
        wanted = " or ".join(kinds)
        if path.is_dir():
            found = _program(str(path / "bin"), kinds) or _program(str(path), kinds)
            if found is None:
                raise InputError(f"{path} has no {wanted}, neither in it nor in its bin/")
            return found
        if not path.exists():
            raise InputError(f"there is no tool {path}")
        kind = _kind(path.name)
        if kind is None:
            raise InputError(f"{path} is none of the known tools: {', '.join(VENDORS)}")
        if kind not in kinds:
            raise InputError(f"{path} is {kind}, but this needs {wanted}")
        if not os.access(path, os.X_OK):
            raise ToolError(f"{path} is not executable")
        return path


def _roots(kinds: Sequence[Kind]) -> dict[str, str]:
    """The set-up variables of ``kinds``, with the folder of the programs below each."""
    return {name: below for kind in kinds for name, below in VENDORS[kind].roots.items()}


def _program(folder: str, kinds: Sequence[Kind]) -> Path | None:
    """The first of ``kinds`` that ``folder`` has as a program."""
    if not folder:  # an empty entry on PATH would mean the current folder: whatever lies in a project
        return None
    for kind in kinds:
        if found := shutil.which(kind, path=folder):
            return Path(found)
    return None


def _kind(name: str) -> Kind | None:
    """The kind of tool a program called ``name`` is."""
    return next((kind for kind in VENDORS if kind == name), None)


def backend_of(tool: Tool) -> Backend:
    """hls4ml's backend whose projects an HLS tool builds."""
    return "Vivado" if tool.kind == "vivado_hls" else "Vitis"


def check_release(tool: Tool) -> None:
    """Raises ToolError if the release of ``tool`` is not one that projects are written for."""
    vendor = VENDORS[tool.kind]
    if not vendor.first <= tool.release <= vendor.last:
        first = f"{vendor.first[0]}.{vendor.first[1]}"
        last = f"{vendor.last[0]}.{vendor.last[1] if vendor.last[1] < 9 else 'x'}"
        raise ToolError(f"{tool} ({tool.path}) is not supported: use {first} to {last}; {vendor.hint}")
