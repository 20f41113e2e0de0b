"""The run directory: settings, candidates, log and winners, written so that a kill loses at most what is in flight."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from pathlib import Path
from typing import IO, Any

import yaml

from flow.errors import InputError, ToolError, nearest
from flow.fileio import read_json, read_yaml, write_atomic, write_json
from flow.search.runlog import RunLog, read_events

SCHEMA = 1
CREATED = frozenset((".lock", "log.jsonl", "candidates"))
"""What a run folder holds before its settings are written: a kill in that moment may leave these."""

RUNGS = ("short", "full")


class RunDirectory:
    """One run's folder, held by one process at a time (an advisory lock on ``.lock``)."""

    def __init__(self, path: Path, lock: IO[str]) -> None:
        self.path = path
        self._lock = lock
        try:
            events = read_events(path / "log.jsonl")
            self._log = RunLog(path / "log.jsonl")
        except BaseException:
            lock.close()
            raise
        self.before_s = max((float(e["t"]) for e in events), default=0.0)
        """Seconds the earlier sittings of this run took, as their log says."""
        self._started = time.monotonic()

    @classmethod
    def create(cls, root: Path, name: str, overwrite: bool) -> RunDirectory:
        """A new run folder. Raises InputError if it exists and ``overwrite`` is not set, ToolError if not writable."""
        path = root / name
        if not path.exists() and not path.is_symlink():
            try:
                (path / "candidates").mkdir(parents=True)
            except OSError as error:
                raise ToolError(f"cannot create {path}: {error.strerror}") from error
            return cls(path, _acquire(path))
        if not overwrite:
            raise InputError(
                f"run {name!r} exists in {root}: choose another name, resume it (--resume) or --overwrite it"
            )
        if path.is_symlink() or not path.is_dir() or not _is_run(path):
            raise InputError(f"{path} is not a run directory: it will not be overwritten")
        lock = _acquire(path)
        try:
            # The settings go last: until then a run that is killed here can still be overwritten.
            for item in sorted(path.iterdir(), key=lambda item: item.name == "run.yaml"):
                if item.name != ".lock":
                    shutil.rmtree(item) if item.is_dir() and not item.is_symlink() else item.unlink()
        except OSError as error:
            lock.close()
            raise ToolError(f"cannot empty {path}: {error.strerror}") from error
        return cls(path, lock)

    @classmethod
    def resume(cls, root: Path, name: str) -> RunDirectory:
        """An existing run folder. Raises InputError if there is none or its settings or log are damaged."""
        path = root / name
        if not (path / "run.yaml").is_file():
            raise InputError(f"no run {name!r} in {root} to resume: {path / 'run.yaml'} is missing")
        if path.is_symlink():  # ``latest``: a run knows its own name
            path = path.resolve()
        read_yaml(path / "run.yaml", "run settings")
        return cls(path, _acquire(path))

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
        self._log.append(self.elapsed_s, event, more)

    def candidate_dir(self, digest: str) -> Path:
        """The folder of one candidate."""
        return self.path / "candidates" / digest

    def evaluation(self, digest: str) -> dict[str, Any] | None:
        """What is known of a candidate, or None. Raises InputError if its file is damaged."""
        path = self.candidate_dir(digest) / "evaluation.json"
        if not path.is_file():
            return None
        hint = "delete this folder to evaluate the candidate again"
        try:
            data = read_json(path, "evaluation")
        except InputError as error:
            raise InputError(f"{error}; {hint}") from error
        if not _is_evaluation(data, digest):
            raise InputError(f"{path}: damaged evaluation; {hint}")
        return dict(data)

    def evaluated(self) -> int:
        """How many candidates earlier sittings have evaluated, well or badly."""
        return sum(1 for _ in (self.path / "candidates").glob("*/evaluation.json"))

    def write_evaluation(self, data: dict[str, Any]) -> None:
        """Write a candidate's ``candidate.json`` (once) and ``evaluation.json``."""
        folder = self.candidate_dir(data["digest"])
        if not (folder / "candidate.json").is_file():
            write_json(folder / "candidate.json", data["candidate"])
        write_json(folder / "evaluation.json", data)

    def write_winners(self, data: dict[str, Any]) -> None:
        """Write ``winners.json``."""
        write_json(self.path / "winners.json", data)

    def point_latest(self) -> None:
        """``latest`` beside this folder becomes a link to it."""
        link = self.path.parent / "latest"
        temporary = self.path.parent / f".latest.{os.getpid()}"
        try:
            temporary.unlink(missing_ok=True)
            temporary.symlink_to(self.path.name)
            temporary.replace(link)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise ToolError(f"cannot point {link} to {self.path.name}: {error.strerror}") from error

    def close(self) -> None:
        """Close the log and release the lock."""
        self._log.close()
        self._lock.close()


def find_run(root: Path, name: str) -> Path:
    """The folder of a run by name or path (``latest`` too). Raises InputError."""
    for path in (root / name, Path(name)):
        if (path / "run.yaml").is_file():
            return path
    for path in (root / name, Path(name)):
        if path.is_dir():
            raise InputError(f"{path} is not a run directory: run.yaml is missing")
    known = [p.parent.name for p in root.glob("*/run.yaml") if not p.parent.is_symlink()] if root.is_dir() else []
    if not known:
        raise InputError(f"no run {name!r}: there are no runs in {root} yet, `flow search` makes one")
    raise InputError(f"no run {name!r} in {root}: {nearest(name, known)}")


def _is_run(path: Path) -> bool:
    """Whether ``path`` is a run folder, an empty one, or one that a kill has left without settings."""
    names = {item.name for item in path.iterdir()}
    return "run.yaml" in names or (names <= CREATED and not any((path / "candidates").glob("*")))


def _is_evaluation(data: Any, digest: str) -> bool:
    """Whether ``data`` has what a resumed search takes from ``evaluation.json``."""
    if not isinstance(data, dict) or data.get("schema") != SCHEMA or data.get("digest") != digest:
        return False
    rungs, accuracy = data.get("rungs"), data.get("accuracy")
    if not isinstance(rungs, dict) or not isinstance(accuracy, dict):
        return False
    if not all(isinstance(r, dict) and _is_share(r.get("val_accuracy")) for r in rungs.values()):
        return False
    return set(rungs) <= set(RUNGS) and (accuracy.get("test") is None or _is_share(accuracy["test"]))


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _acquire(path: Path) -> IO[str]:
    """The lock of a run folder; closing it, or the end of the process, gives it back."""
    try:
        lock = (path / ".lock").open("a", encoding="utf-8")
    except OSError as error:
        raise ToolError(f"cannot write {path / '.lock'}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise InputError(f"run {path.name!r} is in use by another process") from error
    except OSError as error:  # a network file system without locks
        lock.close()
        raise ToolError(f"cannot lock {path}: {error.strerror}") from error
    return lock
