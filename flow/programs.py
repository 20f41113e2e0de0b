"""Finding a program and its version: the one way `flow doctor`, HLS, RTL and bitstream builds look for tools."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

VERSION_TIMEOUT_S = 20.0
"""Longest wait for a tool to tell its version; Vivado on a network file system takes several seconds."""

YOSYS_LEAST = (0, 23)
"""The oldest Yosys that is accepted: Debian 12's. Ubuntu 22.04 has 0.9, which lacks ``memory_libmap`` (new in 0.19)."""

_RELEASE = re.compile(r"20\d\d\.\d(\.\d+)?")
"""A release of an AMD tool, as its installation folder is called: 2020.1, 2022.2.1."""


def find_on(commands: Sequence[str], folders: Iterable[str]) -> str | None:
    """The path of the first of ``commands`` in the first of ``folders`` that has one (each may be a PATH list)."""
    for folder in folders:
        for command in commands:
            if program := shutil.which(command, path=folder):
                return program
    return None


def search_path(roots: Mapping[str, str], environment: Mapping[str, str]) -> list[str]:
    """Where to look for a program: PATH, then the folders of vendor variables that are set.

    ``roots`` maps a variable to the folder of the programs below it.
    """
    folders = [environment.get("PATH", os.defpath)]
    folders += [str(Path(environment[name]) / below) for name, below in roots.items() if environment.get(name)]
    return folders


def version_from_path(program: str) -> str | None:
    """The release in a vendor tool's folder, as in ``Vivado/2020.1/bin/vivado``; None if there is none."""
    for part in reversed(Path(program).resolve().parts):
        if _RELEASE.fullmatch(part):
            return part
    return None


def at_least(version: str, least: tuple[int, int]) -> bool:
    """Whether a version ("0.9+4052", "0.70") is ``least`` or later, by its first two numbers."""
    numbers = re.match(r"(\d+)\.(\d+)", version)
    return numbers is not None and (int(numbers.group(1)), int(numbers.group(2))) >= least


def ask_version(
    argv: Sequence[str], environment: Mapping[str, str], timeout_s: float = VERSION_TIMEOUT_S
) -> tuple[str | None, str]:
    """(version, problem): the first version number the program prints, or why there is none."""
    asked = f"`{' '.join([Path(argv[0]).name, *argv[1:]])}`"
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            start_new_session=True,
            text=True,
            errors="replace",
        )
    except OSError as error:
        return None, f"{asked} does not start: {error.strerror}"
    with process:
        try:
            output, _ = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return None, f"{asked} did not answer within {timeout_s:g} s"
    if process.returncode != 0:
        said = next((line.strip() for line in output.splitlines() if line.startswith("ERROR")), "")
        return None, f"{asked} ended with exit status {process.returncode}{f': {said}' if said else ''}"
    match = re.search(r"(?<![\w.])v?(\d+\.\d+[\w.+]*)", output)
    return (match.group(1), "") if match else (None, f"{asked} printed no version number")
