"""The run directory: settings, candidates, log and winners, written so that a kill loses at most what is in flight."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
from pathlib import Path
from typing import IO, Any

import yaml

from flow.errors import InputError, ToolError
from flow.fileio import read_json, read_yaml, write_atomic, write_json


class RunDirectory:
    """One run's folder, held by one process at a time (an advisory lock on ``.lock``)."""

    def __init__(self, path: Path, lock: IO[str]) -> None:
        self.path = path
        self._lock = lock
        self._started = time.monotonic()
        self.before_s = self._elapsed_before()
        self._log = _open(path / "log.jsonl", "a")

    @classmethod
    def create(cls, root: Path, name: str, overwrite: bool) -> RunDirectory:
        """A new run folder. Raises InputError if it exists and ``overwrite`` is not set, ToolError if not writable."""
        path = root / name
        if path.exists() or path.is_symlink():
            if not overwrite:
                raise InputError(f"run {name!r} exists in {root}: choose another NAME, or resume it with --resume")
            if not (path / "run.yaml").is_file() and any(path.iterdir()):
                raise InputError(f"{path} is not a run directory: it will not be overwritten")
            lock = _acquire(path)
            try:
                for item in path.iterdir():
                    if item.name != ".lock":
                        shutil.rmtree(item) if item.is_dir() and not item.is_symlink() else item.unlink()
            except OSError as error:
                raise ToolError(f"cannot empty {path}: {error.strerror}") from error
        else:
            try:
                (path / "candidates").mkdir(parents=True)
            except OSError as error:
                raise ToolError(f"cannot create {path}: {error.strerror}") from error
            lock = _acquire(path)
        return cls(path, lock)

    @classmethod
    def resume(cls, root: Path, name: str) -> RunDirectory:
        """An existing run folder. Raises InputError if there is none or its settings are damaged."""
        path = root / name
        if not (path / "run.yaml").is_file():
            raise InputError(f"no run {name!r} in {root} to resume: {path / 'run.yaml'} is missing")
        return cls(path, _acquire(path))

    def _elapsed_before(self) -> float:
        """Seconds the earlier sittings of this run took, as their log says."""
        last = 0.0
        for event in read_log(self.path / "log.jsonl"):
            last = max(last, float(event.get("t", 0.0)))
        return last

    @property
    def elapsed_s(self) -> float:
        """Seconds spent on this run, earlier sittings included."""
        return self.before_s + time.monotonic() - self._started

    def settings(self) -> dict[str, Any]:
        """The content of ``run.yaml``."""
        return read_yaml(self.path / "run.yaml", "run settings")

    def write_settings(self, data: dict[str, Any]) -> None:
        """Write ``run.yaml``."""
        write_atomic(self.path / "run.yaml", yaml.safe_dump(data, sort_keys=False))

    def log(self, event: str, **more: Any) -> None:
        """Append one event. Raises ToolError if the disk is full."""
        line = json.dumps({"t": round(self.elapsed_s, 3), "event": event, **more})
        try:
            self._log.write(line + "\n")
            self._log.flush()
        except OSError as error:
            raise ToolError(f"cannot write {self.path / 'log.jsonl'}: {error.strerror}") from error

    def candidate_dir(self, digest: str) -> Path:
        """The folder of one candidate."""
        return self.path / "candidates" / digest

    def evaluation(self, digest: str) -> dict[str, Any] | None:
        """What is known of a candidate, or None. Raises InputError if its file is damaged."""
        path = self.candidate_dir(digest) / "evaluation.json"
        if not path.is_file():
            return None
        data = read_json(path, "evaluation")
        if not isinstance(data, dict) or data.get("digest") != digest or not isinstance(data.get("rungs"), dict):
            raise InputError(f"{path}: damaged evaluation; delete this folder to evaluate the candidate again")
        return data

    def write_evaluation(self, data: dict[str, Any]) -> None:
        """Write a candidate's ``candidate.json`` (once) and ``evaluation.json``."""
        folder = self.candidate_dir(data["digest"])
        if not (folder / "candidate.json").is_file():
            write_json(folder / "candidate.json", data["candidate"])
        write_json(folder / "evaluation.json", data)

    def write_winners(self, data: dict[str, Any]) -> None:
        """Write ``winners.json`` and point ``runs/latest`` here."""
        write_json(self.path / "winners.json", data)

    def point_latest(self) -> None:
        """``latest`` beside this folder becomes a link to it."""
        link = self.path.parent / "latest"
        temporary = self.path.parent / f".latest.{os.getpid()}"
        try:
            temporary.symlink_to(self.path.name)
            temporary.replace(link)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise ToolError(f"cannot point {link} to {self.path.name}: {error.strerror}") from error

    def close(self) -> None:
        """Close the log and release the lock."""
        with contextlib.suppress(OSError):
            self._log.close()
        self._lock.close()


def find_run(root: Path, name: str) -> Path:
    """The folder of a run by name or path (``latest`` too). Raises InputError."""
    for path in (root / name, Path(name)):
        if (path / "run.yaml").is_file():
            return path
    known = sorted(p.parent.name for p in root.glob("*/run.yaml")) if root.is_dir() else []
    raise InputError(f"no run {name!r} in {root}" + (f": known: {', '.join(known)}" if known else ", it has no runs yet"))


def read_log(path: Path) -> list[dict[str, Any]]:
    """The events of a ``log.jsonl``; a line cut off by a kill is left out."""
    events = []
    if path.is_file():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                event = json.loads(line)
                if isinstance(event, dict):
                    events.append(event)
    return events


def _open(path: Path, mode: str) -> IO[str]:
    try:
        return path.open(mode, encoding="utf-8")
    except OSError as error:
        raise ToolError(f"cannot write {path}: {error.strerror}") from error


def _acquire(path: Path) -> IO[str]:
    lock = _open(path / ".lock", "a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise InputError(f"run {path.name!r} is in use by another process") from error
    return lock
