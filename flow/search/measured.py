"""What tools measured of a run's candidates, kept beside the predictions: ``evaluation.json``, ``winners.json``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from flow.errors import InputError
from flow.fileio import read_json
from flow.resources import Measurement
from flow.search.store import RunDirectory


def record_measurements(run: Path, digest: str, measured: Iterable[Measurement]) -> bool:
    """Keep what tools measured of a candidate; returns whether anything was new.

    A measurement replaces an earlier one of the same source, tool, version and part, so recording it twice changes
    nothing; predictions stay as they are. Raises InputError if another process has the run, or for damaged files.
    """
    fresh = list(measured)
    if any(m.source == "predicted" for m in fresh):
        raise InputError("predictions are not measured: they are not recorded beside those of the search")
    directory = RunDirectory.resume(run.parent, run.name)
    try:
        changed = False
        evaluation = directory.evaluation(digest)
        if evaluation is not None:
            known = evaluation.get("measurements")
            merged = merge(known, fresh)
            if merged != known:
                directory.write_evaluation({**evaluation, "measurements": merged})
                changed = True
        file = run / "winners.json"
        winners = read_json(file, "winners") if file.is_file() else {}
        entries = winners.get("winners", []) if isinstance(winners, dict) else []
        updated = [
            {**w, "measurements": merge(w.get("measurements"), fresh)} if _is_of(w, digest) else w for w in entries
        ]
        if updated != entries:
            directory.write_winners({**winners, "winners": updated})
            changed = True
        return changed
    finally:
        directory.close()


def merge(known: Any, fresh: Iterable[Measurement]) -> list[dict[str, Any]]:
    """``known`` measurements (as their files have them) with ``fresh`` ones in the place of what they replace."""
    merged = list(known) if isinstance(known, list) else []
    for measurement in fresh:
        new = measurement.to_dict()
        places = [i for i, old in enumerate(merged) if isinstance(old, dict) and _key(old) == _key(new)]
        if places:
            merged[places[0]] = new
        else:
            merged.append(new)
    return merged


def measured_in(evaluation: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The measurements by tools in the content of an ``evaluation.json``, without the predictions."""
    known = (evaluation or {}).get("measurements")
    entries = known if isinstance(known, list) else []
    return [m for m in entries if isinstance(m, dict) and m.get("source") != "predicted"]


def _key(data: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(data.get(name) for name in ("source", "tool", "version", "part"))


def _is_of(winner: Any, digest: str) -> bool:
    return isinstance(winner, dict) and winner.get("digest") == digest
