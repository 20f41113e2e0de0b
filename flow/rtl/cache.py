"""Results of tools, kept by the content they come from: what was synthesized once is not synthesized again.

An entry is a file called by a digest of everything its content depends on (sources, options, tool and version), with
a checksum in front. A damaged one counts as not there. The folder is kept below a size: what was not used for longest
goes first. Failing to keep something is no error, it only costs time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flow.errors import InputError, ToolError
from flow.fileio import write_atomic

LIMIT_BYTES = 2 * 2**30
"""How large the folder may grow: a design of 16,000 LUTs takes about 2 MB."""

KEEP_FAILED_S = 7 * 86400.0
"""How long the folders of failed runs, with their logs, are kept."""

_SUFFIX = ".kept"


def default_cache() -> Path:
    """$FLOW_CACHE, else ~/.cache/fpga-nas-flow where data sets are, too. Raises InputError if there is no home."""
    chosen = os.environ.get("FLOW_CACHE") or "~/.cache/fpga-nas-flow"
    try:
        return Path(chosen).expanduser() / "rtl"
    except RuntimeError as error:
        raise InputError("no folder to keep results of tools in: set FLOW_CACHE to one") from error


def digest_of(*parts: str | bytes) -> str:
    """32 hex digits for a sequence of texts; where one ends and the next starts counts, too."""
    sha = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        sha.update(f"{len(data)}:".encode())
        sha.update(data)
    return sha.hexdigest()[:32]


@dataclass(frozen=True)
class Cache:
    """A folder of results by digest, at most ``limit_bytes`` in all."""

    folder: Path
    limit_bytes: int = LIMIT_BYTES

    def get(self, key: str) -> bytes | None:
        """What was put under ``key``, None if nothing was or it is damaged."""
        path = self.folder / f"{key}{_SUFFIX}"
        try:
            data = path.read_bytes()
            content = zlib.decompress(data[32:])
        except (OSError, zlib.error):
            return None
        if hashlib.sha256(content).digest() != data[:32]:
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return content

    def put(self, key: str, content: bytes) -> None:
        """Keep ``content`` under ``key``, if that can be done."""
        with contextlib.suppress(ToolError):
            write_atomic(
                self.folder / f"{key}{_SUFFIX}", hashlib.sha256(content).digest() + zlib.compress(content, level=6)
            )
            self._trim()

    def _trim(self) -> None:
        found: list[tuple[float, int, str]] = []
        with contextlib.suppress(OSError), os.scandir(self.folder) as entries:
            for entry in entries:
                if entry.name.endswith(_SUFFIX):
                    stat = entry.stat()
                    found.append((stat.st_mtime, stat.st_size, entry.path))
        total = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if total <= self.limit_bytes:
                break
            total -= size
            with contextlib.suppress(OSError):
                os.unlink(path)

    @contextlib.contextmanager
    def work(self, name: str) -> Iterator[Path]:
        """A folder for one run of a tool. It goes when all went well, and stays with its log if not."""
        place = self.folder / "work"
        try:
            place.mkdir(parents=True, exist_ok=True)
            _remove_old(place)
            folder = Path(tempfile.mkdtemp(dir=place, prefix=f"{name[:40]}_"))
        except OSError as error:
            raise ToolError(f"cannot make a folder in {place}: {error.strerror}; set FLOW_CACHE to another") from error
        yield folder
        shutil.rmtree(folder, ignore_errors=True)


def _remove_old(place: Path) -> None:
    """Remove what failed runs left behind long ago."""
    before = time.time() - KEEP_FAILED_S
    for folder in place.iterdir():
        with contextlib.suppress(OSError):
            if folder.stat().st_mtime < before:
                shutil.rmtree(folder, ignore_errors=True)
