"""A bitstream project as a value: every file, the steps that build it, and what comes out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Literal

from flow.errors import InputError
from flow.fileio import write_atomic

DIGEST_FILE = "plan.digest"
"""Beside the files: the plan's digest, which the build copies into its result."""
BOARD = "board"
"""The folder that goes to the board."""

Kind = Literal["vivado_hls", "vitis_hls", "vivado", "v++"]


@dataclass(frozen=True)
class Step:
    """One run of a tool in the project's folder: its script and arguments, and the files that must come of it."""

    kind: Kind
    name: str
    script: str
    expect: tuple[str, ...]
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class BitstreamPlan:
    """``files`` by relative path, in the order they are written; ``products`` are what the last step hands over."""

    stem: str
    board: str
    files: Mapping[str, bytes]
    steps: tuple[Step, ...]
    products: tuple[str, ...]

    @cached_property
    def digest(self) -> str:
        """The first 16 hex digits of SHA-256 over all paths and contents."""
        sha = hashlib.sha256()
        for path, content in self.files.items():
            for part in (path.encode(), content):
                sha.update(f"{len(part)}:".encode())
                sha.update(part)
        return sha.hexdigest()[:16]

    def write(self, folder: Path) -> None:
        """Write all files, the digest last. Raises ToolError if that fails."""
        for path, content in self.files.items():
            write_atomic(folder / path, content)
        write_atomic(folder / DIGEST_FILE, self.digest + "\n")

    def is_written(self, folder: Path) -> bool:
        """Whether ``folder`` holds exactly this plan, as far as its digest says."""
        path = folder / DIGEST_FILE
        return path.is_file() and path.read_text(encoding="utf-8", errors="replace").strip() == self.digest


def freeze(files: Mapping[str, str | bytes]) -> Mapping[str, bytes]:
    """Files as bytes, every path checked: relative, and below the project's folder. Raises InputError."""
    frozen: dict[str, bytes] = {}
    for path, content in files.items():
        pure = PurePosixPath(path)
        if pure.is_absolute() or ".." in pure.parts or "\\" in path or not path.isprintable() or " " in path:
            raise InputError(f"{path!r} is no name of a file in a project")
        frozen[path] = content.encode() if isinstance(content, str) else content
    return MappingProxyType(frozen)


def names(files: Iterable[str], *suffixes: str) -> list[str]:
    """The paths with one of the suffixes, in their order."""
    return [path for path in files if path.endswith(suffixes)]
