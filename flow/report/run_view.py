"""A run directory read back and checked: settings, candidates, winners and log as typed values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

from flow.errors import FlowError, InputError
from flow.fileio import read_json, read_yaml
from flow.resources import Measurement, Resources
from flow.search.runlog import read_events
from flow.space.candidate import Candidate

SCHEMA = 1
RUNGS = ("short", "full")
MAX_COUNT = 2**53
"""Largest count accepted from a file: every count up to it is exact as a float."""

T = TypeVar("T")


@dataclass(frozen=True)
class Rung:
    """One training of a candidate. ``seconds`` is wall time; ``None`` where it was not recorded."""

    val_accuracy: float
    epochs: int | None
    seconds: float | None


@dataclass(frozen=True)
class Evaluated:
    """One candidate that was tried. ``validation`` is the accuracy of its highest rung, ``None`` if it has none.

    ``unfit``: the limits that it is beyond as a tool reported it, in words; ``None`` if no tool said so.
    """

    digest: str
    number: int
    status: str
    error: str | None
    candidate: Candidate
    measurements: tuple[Measurement, ...]
    rungs: Mapping[str, Rung]
    validation: float | None
    test: float | None
    unfit: str | None = None

    @property
    def rung(self) -> str | None:
        """The highest rung done."""
        return next((name for name in reversed(RUNGS) if name in self.rungs), None)

    @property
    def predicted(self) -> Measurement | None:
        """The newest prediction."""
        return next((m for m in reversed(self.measurements) if m.source == "predicted"), None)


@dataclass(frozen=True)
class Winner:
    """One entry of ``winners.json``; ``raw`` is the entry as it stands there. Accuracies are shares from 0 to 1."""

    id: str
    digest: str
    candidate: Candidate
    implementation: Mapping[str, Any]
    validation: float | None
    test: float | None
    throughput_per_s: float | None
    latency_us: float | None
    clock_mhz: float | None
    measurements: tuple[Measurement, ...]
    raw: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Failure:
    """One rung of one candidate that failed."""

    number: int
    digest: str
    rung: str
    error: str


@dataclass(frozen=True)
class RunView:
    """A whole run. ``settings`` is ``run.yaml`` as read; the other fields are its checked parts.

    ``budget`` and ``spec`` are what a winner must meet; ``complete`` says that the winners are final;
    ``elapsed_s`` and ``training_s`` are wall seconds, ``None`` until known; ``rejected`` counts refused candidates by
    reason, as the newest log entry has it; ``end_reason`` is why the search stopped, ``None`` if it has not;
    ``diagnosis`` says why nothing is feasible, where that is so.
    """

    path: Path
    name: str
    board: str
    part: str
    dataset: str
    settings: Mapping[str, Any]
    spec: Mapping[str, Any]
    budget: Resources
    versions: Mapping[str, str]
    evaluations: tuple[Evaluated, ...]
    winners: tuple[Winner, ...]
    complete: bool
    rejected: Mapping[str, int]
    failures: tuple[Failure, ...]
    elapsed_s: float | None
    training_s: float | None
    end_reason: str | None
    diagnosis: str | None = None

    @property
    def best(self) -> Evaluated | None:
        """The candidate of highest validation accuracy; of equal ones the first."""
        done = [e for e in self.evaluations if e.validation is not None]
        return max(done, key=lambda e: (e.validation or 0.0, -e.number), default=None)


def load_run(path: Path) -> RunView:
    """The run in the folder ``path``. A log line cut off by a kill, and candidates still in flight, are left out.

    Raises InputError, one line with the file and what to do, if a file is missing, damaged or not of this program.
    """
    path = Path(path)
    file = path / "run.yaml"
    if not file.is_file():
        raise InputError(f"{path} is not a run directory: run.yaml is missing; `flow search` makes one")
    settings = read_yaml(file, "run settings")
    head = _checked(lambda: _head(settings), file, "start a new run")
    evaluations = _evaluations(path / "candidates")
    winners, complete, diagnosis = _winners(path / "winners.json")
    events = read_events(path / "log.jsonl")
    end: dict[str, Any] = next((e for e in reversed(events) if e["event"] in ("end", "resume", "start")), {})
    ended = end.get("event") == "end"
    return RunView(
        path=path,
        settings=settings,
        evaluations=evaluations,
        winners=winners,
        complete=complete,
        rejected=_rejected(events),
        failures=_failures(events, evaluations),
        elapsed_s=_maximum(e.get("elapsed_s") if e["event"] == "end" else e.get("t") for e in events),
        training_s=_number(end.get("training_s")) if ended else _training_s(evaluations),
        end_reason=str(end.get("reason", "unknown")) if ended else None,
        diagnosis=diagnosis,
        **{"name": path.resolve().name, **head},
    )


def parse_winner(raw: Any, where: str = "winner") -> Winner:
    """One entry of ``winners.json``. Raises InputError naming ``where`` and the field."""
    data = _mapping(raw, where)
    accuracy = _mapping(data.get("accuracy"), f"{where}: accuracy")
    digest, candidate = _candidate(data, where)
    return Winner(
        id=_text(data, "id", where),
        digest=digest,
        candidate=candidate,
        implementation=_mapping(data.get("implementation"), f"{where}: implementation"),
        validation=_share(accuracy.get("validation"), f"{where}: accuracy.validation"),
        test=_share(accuracy.get("test"), f"{where}: accuracy.test"),
        throughput_per_s=_amount(data.get("throughput_per_s"), f"{where}: throughput_per_s"),
        latency_us=_amount(data.get("latency_us"), f"{where}: latency_us"),
        clock_mhz=_amount(data.get("clock_mhz"), f"{where}: clock_mhz"),
        measurements=_measurements(data.get("measurements"), where),
        raw=data,
    )


def _head(settings: Mapping[str, Any]) -> dict[str, Any]:
    _schema(settings)
    dataset = _mapping(settings.get("dataset"), "dataset")
    spec = _mapping(settings.get("spec"), "spec")
    versions = _mapping(settings.get("versions", {}), "versions")
    name = {"name": _text(settings, "name", "")} if "name" in settings else {}
    for limit in ("min_throughput_per_s", "max_latency_us", "clock_mhz", "requested_clock_mhz"):
        _amount(spec.get(limit), f"spec.{limit}")
    return {
        **name,
        "board": _text(settings, "board", ""),
        "part": _text(settings, "part", ""),
        "dataset": _text(dataset, "name", "dataset"),
        "spec": spec,
        "budget": Resources.from_dict(_mapping(spec.get("budget"), "spec.budget"), "spec.budget"),
        "versions": {str(k): str(v) for k, v in versions.items()},
    }


def _evaluations(folder: Path) -> tuple[Evaluated, ...]:
    if not folder.is_dir():
        return ()
    found = []
    for file in sorted(folder.glob("*/evaluation.json")):
        hint = f"delete the folder {file.parent.name} and resume the run to evaluate it again"
        data = _read(file, "evaluation", hint)
        found.append(_checked(lambda data=data, file=file: _evaluation(data, file.parent.name), file, hint))  # type: ignore[misc]
    return tuple(sorted(found, key=lambda e: (e.number, e.digest)))


def _evaluation(raw: Any, folder: str) -> Evaluated:
    data = _mapping(raw, "evaluation")
    _schema(data)
    (digest, candidate), status = _candidate(data, ""), data.get("status")
    if digest != folder:
        raise InputError(f"digest {digest!r} is not the name of its folder")
    if status not in ("done", "failed"):
        raise InputError(f"status must be done or failed, not {status!r}")
    number = data.get("number")
    if not _is_count(number):
        raise InputError(f"number must be a whole number >= 0, not {number!r}")
    rungs = {}
    for name, value in _mapping(data.get("rungs"), "rungs").items():
        rung = _mapping(value, f"rungs.{name}")
        accuracy = _share(rung.get("val_accuracy"), f"rungs.{name}.val_accuracy")
        if name in RUNGS and accuracy is not None:
            epochs = _amount(rung.get("epochs"), f"rungs.{name}.epochs")
            seconds = _amount(rung.get("seconds"), f"rungs.{name}.seconds")
            rungs[name] = Rung(accuracy, None if epochs is None else int(epochs), seconds)
    accuracies = _mapping(data.get("accuracy", {}), "accuracy")
    return Evaluated(
        digest=digest,
        number=number,
        status=status,
        error=str(data["error"]) if data.get("error") else None,
        candidate=candidate,
        measurements=_measurements(data.get("measurements", []), ""),
        rungs=rungs,
        validation=_share(accuracies.get("validation"), "accuracy.validation"),
        test=_share(accuracies.get("test"), "accuracy.test"),
        unfit=str(data["unfit"]) if data.get("unfit") else None,
    )


def _candidate(data: Mapping[str, Any], where: str) -> tuple[str, Candidate]:
    """The digest in ``data`` and the candidate, which must be the one the digest was made of."""
    digest = _text(data, "digest", where)
    candidate = Candidate.from_dict(data.get("candidate"), f"{where}: candidate" if where else "candidate")
    if candidate.digest != digest:
        raise InputError(f"{f'{where}: ' if where else ''}the candidate is not the one of digest {digest!r}")
    return digest, candidate


def _winners(file: Path) -> tuple[tuple[Winner, ...], bool, str | None]:
    """The winners, whether they are final, and why there are none where the search could say."""
    if not file.exists():
        return (), False, None
    hint = "delete it and resume the run to have it written again"

    def parse(raw: Any) -> tuple[tuple[Winner, ...], bool, str | None]:
        data = _mapping(raw, "winners")
        _schema(data)
        entries = data.get("winners")
        if not isinstance(entries, list):
            raise InputError("winners must be a list")
        winners = tuple(parse_winner(w, f"winners[{i}]") for i, w in enumerate(entries))
        if len({w.id for w in winners}) < len(winners):
            raise InputError("two winners have the same id")
        diagnosis = data.get("diagnosis")
        return winners, data.get("complete") is True, str(diagnosis) if diagnosis else None

    raw = _read(file, "winners", hint)
    return _checked(lambda: parse(raw), file, hint)


def _rejected(events: list[dict[str, Any]]) -> dict[str, int]:
    """The newest counts; a resumed run counts again from its start, so counts of sittings are never added."""
    for event in reversed(events):
        counts = event.get("counts")
        if event["event"] == "rejected" and isinstance(counts, dict):
            whole = {str(k): v for k, v in counts.items() if _is_count(v) and v > 0}
            return dict(sorted(whole.items(), key=lambda item: (-item[1], item[0])))
    return {}


def _failures(events: list[dict[str, Any]], evaluations: tuple[Evaluated, ...]) -> tuple[Failure, ...]:
    """Failures that still stand: those of the log that no later attempt made good, and of the evaluations."""
    done = {(e.digest, rung) for e in evaluations for rung in e.rungs}
    found: dict[tuple[str, str], Failure] = {}
    for event in events:
        if event["event"] == "failed" and _is_count(event.get("number")):
            digest, rung = str(event.get("digest", "")), str(event.get("rung", "short"))
            if (digest, rung) not in done:
                found[digest, rung] = Failure(event["number"], digest, rung, str(event.get("error", "unknown")))
    for e in evaluations:
        if e.status == "failed" and not any(digest == e.digest for digest, _ in found):
            rung = "short" if "short" not in e.rungs else "full"
            found[e.digest, rung] = Failure(e.number, e.digest, rung, e.error or "unknown")
    return tuple(sorted(found.values(), key=lambda f: (f.number, f.rung)))


def _training_s(evaluations: tuple[Evaluated, ...]) -> float | None:
    seconds = [r.seconds for e in evaluations for r in e.rungs.values()]
    return None if not seconds or None in seconds else sum(s for s in seconds if s is not None)


def _read(file: Path, what: str, hint: str) -> Any:
    try:
        return read_json(file, what)
    except InputError as error:
        raise InputError(f"{error}; {hint}") from error


def _checked(parse: Callable[[], T], file: Path, hint: str) -> T:
    """``parse()``, its complaints prefixed by the file and followed by what to do."""
    try:
        return parse()
    except (FlowError, TypeError, ValueError) as error:
        raise InputError(f"{file}: {error}; {hint}".replace("\n", " ")) from error


def _schema(data: Mapping[str, Any]) -> None:
    if data.get("schema") != SCHEMA:
        raise InputError(f"schema {data.get('schema')!r} is not supported, expected {SCHEMA}")


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(f"{where}: expected a mapping of fields, found {type(value).__name__}")
    return value


def _text(data: Mapping[str, Any], name: str, where: str) -> str:
    value = data.get(name)
    if not isinstance(value, str) or not value or not value.isprintable():
        raise InputError(f"{f'{where}: ' if where else ''}{name} must be a printable text, not {value!r}")
    return value


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_COUNT


def _number(value: Any) -> float | None:
    """``value`` as a float, ``None`` if it is not a number or beyond what is computed with."""
    usable = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MAX_COUNT
    return float(value) if usable else None


def _amount(value: Any, where: str) -> float | None:
    number = _number(value)
    if value is not None and (number is None or number < 0):
        raise InputError(f"{where} must be a number >= 0 or null, not {value!r}")
    return number


def _share(value: Any, where: str) -> float | None:
    number = _amount(value, where)
    if number is not None and number > 1:
        raise InputError(f"{where} must be from 0 to 1, not {value!r}")
    return number


def _maximum(values: Any) -> float | None:
    return max((v for v in map(_number, values) if v is not None), default=None)


def _measurements(raw: Any, where: str) -> tuple[Measurement, ...]:
    place = f"{where}: measurements" if where else "measurements"
    if not isinstance(raw, list):
        raise InputError(f"{place} must be a list")
    return tuple(Measurement.from_dict(item, f"{place}[{i}]") for i, item in enumerate(raw))
