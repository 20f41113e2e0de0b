"""``report.html``: a run on one self-contained page, without scripts and without anything from the network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from flow.fileio import data_dir, write_atomic
from flow.report import winners as text
from flow.report.plot import scatter
from flow.report.run_view import RunView, Winner
from flow.report.show import best_note, board_capacity, counts, limits, no_winners, state
from flow.resources import RESOURCE_NAMES, Measurement, Resources
from flow.space.candidate import Candidate

TEMPLATE = "report.html.j2"


def write_report(view: RunView, path: Path) -> None:
    """Write the report of a run to ``path``, atomically. Raises ToolError if it can't be written."""
    write_atomic(path, render_report(view).encode("utf-8", "replace"))  # JSON may hold half a surrogate pair


def render_report(view: RunView) -> str:
    """The page as text."""
    rendered: str = _template().render(page(view))
    return rendered


@cache
def _template() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(data_dir("templates") / "report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(TEMPLATE)


def page(view: RunView) -> dict[str, Any]:
    """All values the template uses, as text or plain values."""
    capacity = board_capacity(view)
    groups = [
        {
            "title": title.removeprefix("source: "),
            "has_interval": any(_range(m) for _, m in pairs),
            "has_uram": bool(capacity and capacity.uram) or any(m.resources.uram for _, m in pairs),
            "rows": [_winner(w, m, capacity, view.budget) for w, m in pairs],
        }
        for title, pairs in text.by_source(view.winners)
    ]
    most = max(view.rejected.values(), default=1)
    return {
        "view": view,
        "tiles": _tiles(view),
        "state": state(view),
        "limits": limits(view),
        "plot": scatter(view),
        "groups": groups,
        "no_winners": f"{no_winners(view)}.".replace("no", "No", 1),
        "capacity_known": capacity is not None,
        "networks": [(w.id, w.digest, _network(w.candidate)) for w in view.winners],
        "rejected": [(reason, n, f"{n:,}", round(100 * n / most, 1)) for reason, n in view.rejected.items()],
        "rejected_total": f"{sum(view.rejected.values()):,}",
        "settings": list(_flat(view.settings)),
        "versions": sorted(view.versions.items()),
        "evaluations": [
            {
                "number": e.number,
                "rung": e.rung or "none",
                "accuracy": text.accuracy(e.validation),
                "lut": text.amount(e.predicted.resources.lut if e.predicted else None),
                "network": _network(e.candidate),
                "failed": e.status == "failed",
                "unfit": e.unfit,
            }
            for e in view.evaluations
        ],
    }


def _tiles(view: RunView) -> list[tuple[str, str, str]]:
    """(title, number, note) of the figures at the top."""
    n, best = counts(view), view.best
    trials = view.settings.get("trials")
    failed = f"{n['failed']} failed"
    return [
        ("Best accuracy", text.accuracy(best.validation if best else None), best_note(best) if best else "none yet"),
        ("Winners", str(n["winners"]), "Pareto front" if view.complete else "so far"),
        ("Candidates tried", str(n["tried"]), f"of {trials}, {failed}" if trials else failed),
        ("Fully trained", str(n["fully_trained"]), "the others briefly"),
        ("Rejected", f"{n['rejected']:,}", "before training, at no cost"),
        ("Time", text.duration(view.elapsed_s), f"training {text.duration(view.training_s)}, all workers"),
    ]


def _range(measurement: Measurement) -> str:
    """The interval of the LUTs in brackets, empty if there is none."""
    return text.interval(measurement).partition(" ")[2]


def _network(candidate: Candidate) -> str:
    return text.architecture(candidate).replace("->", "\N{RIGHTWARDS ARROW}")


def _winner(w: Winner, m: Measurement, capacity: Resources | None, budget: Resources) -> dict[str, Any]:
    predicted = m.source == "predicted"
    shares = m.resources.utilisation(capacity) if capacity else {}
    limit = budget.utilisation(capacity) if capacity else {}
    bars = []
    for name in RESOURCE_NAMES:
        total = getattr(capacity, name) if capacity else None
        if name == "uram" and not total:
            continue
        share = shares.get(name)
        bars.append(
            {
                "label": text.LABELS[name],
                "percent": text.percent(share),
                "width": round(100 * min(share or 0.0, 1.0), 2),
                "over": share is not None and share > 1,
                "limit": round(100 * min(limit[name], 1.0), 2) if name in limit else None,
                "tip": f"{text.amount(getattr(m.resources, name))} of {text.amount(total)}",
            }
        )
    return {
        "id": w.id,
        "validation": text.accuracy(w.validation),
        "test": text.accuracy(w.test),
        "lut": text.amount(m.resources.lut),
        "interval": _range(m),
        **{name: text.amount(getattr(m.resources, name)) for name in ("ff", "bram18", "uram", "dsp")},
        **{f"{name}_interval": text.interval(m, name).partition(" ")[2] for name in ("ff", "bram18", "uram", "dsp")},
        "throughput": text.significant(m.throughput_per_s or (w.throughput_per_s if predicted else None)),
        "latency": text.significant(m.latency_us or (w.latency_us if predicted else None)),
        "bars": bars,
    }


def _flat(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """``(dotted name, text)`` of all settings but the versions, which have their own table."""
    for name, value in data.items():
        if prefix or name != "versions":
            if isinstance(value, Mapping):
                yield from _flat(value, f"{prefix}{name}.")
            else:
                yield f"{prefix}{name}", "not set" if value is None else str(value)
