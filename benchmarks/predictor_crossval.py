"""Errors of the calibrated predictor in cross-validation, as the Markdown tables of docs/model-card.md.

    python benchmarks/predictor_crossval.py [FOLDER]

FOLDER holds the CSV files of public synthesis reports (default: ../shared/data/synthesis beside the clone). Whole
projects are held out, and whole (inputs, outputs) shapes of the one-layer runs; never single rows. SMAPE is the mean
of |p - r| / ((|p| + |r|) / 2), 0 where both are 0, so 200% at most.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import flow.estimate.calibration as calibration
from flow.estimate.calibrated import CALIBRATED, OFFSET, Module, fifos
from flow.estimate.calibrated_refusals import refused
from flow.estimate.calibrated_terms import CELLS, REGIMES, cells_of, regimes_of
from flow.estimate.calibration_data import TARGETS, Rows, read_rows
from flow.estimate.calibration_designs import DESIGN_TARGETS, Design, predict_designs, read_designs
from flow.estimate.structural import STRUCTURAL, TOP_FF, TOP_LUT
from flow.network.fixed import FixedFormat
from flow.space.batch import batch_table
from flow.space.space import Task, load_space

INTERRUPTED = 24
"""Failed runs that were not refused, see flow.estimate.calibrated_refusals."""

DRAWS = 5
"""Draws of projects for each point of the learning curve."""

DEFAULT = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "synthesis"
HEADS = {"lut": "LUT", "ff": "FF", "bram18": "BRAM18", "dsp": "DSP", "interval": "II", "cycles": "latency"}

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def smape(reported: Floats, predicted: Floats) -> float:
    """See the module; NaN where nothing is known."""
    known = np.isfinite(reported)
    r, p = reported[known], predicted[known]
    both = np.abs(r) + np.abs(p)
    return float(200 * np.mean(np.abs(p - r) / np.where(both > 0, both, 1))) if len(r) else float("nan")


def main() -> int:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT
    everything = read_rows([folder / "wa_hls4ml_dense.csv", folder / "hls4ml_layers.csv"])
    serial = np.broadcast_to(everything.details.serial, (len(everything),))
    rows = everything.select(~everything.failed & ~serial)
    started = time.perf_counter()
    module = calibration.cross_predict(rows)
    print(f"{len(rows)} rows, {int(serial.sum())} of forks left out; {time.perf_counter() - started:.0f} s\n")
    print_errors(rows, module)
    designs = read_designs(folder / "hls4ml_designs.csv", rows)
    print_designs(designs, predict_designs(designs, rows, module))
    print_coverage(rows, module, designs)
    print_refusals(everything)
    print_priors(rows)
    print_learning_curve(rows)
    print_speed()
    return 0


def table(title: str, lines: Iterator[tuple[str, int, Mapping[str, float]]], heads: Mapping[str, str] = HEADS) -> None:
    """Print one Markdown table: name, count, numbers."""
    print(f"### {title}\n")
    print("| | rows | " + " | ".join(heads.values()) + " |")
    print("|---|---" + "|---" * len(heads) + "|")
    for name, count, numbers in lines:
        print(
            f"| {name} | {count} | "
            + " | ".join("" if np.isnan(numbers[k]) else f"{numbers[k]:.1f}" for k in heads)
            + " |"
        )
    print()


def one_layer(rows: Rows) -> Bools:
    """Rows of the one-layer runs."""
    return np.array([project.startswith("dense ") for project in rows.project])


def errors(rows: Rows, module: Module, mask: Bools) -> dict[str, float]:
    """SMAPE of each target in percent."""
    return {t: smape(rows.target(t)[mask], getattr(module, t)[mask]) for t in TARGETS}


def print_errors(rows: Rows, module: Module) -> None:
    f = rows.features()
    dense, layers = one_layer(rows), ~one_layer(rows)
    regime, projects = regimes_of(f), np.array(rows.project)
    folded = regime == REGIMES.index("folded")
    allowed = ~(f.latency & (f.rf > 1)) & ~refused(f)
    groups = {
        "one-layer dense": dense,
        "- Resource, reuse above 1": dense & folded,
        "- Resource, reuse 1": dense & ~folded & ~f.latency,
        "- Latency, reuse 1": dense & f.latency & (f.rf == 1),
        "- Latency, reuse above 1 (never chosen by flow)": dense & f.latency & (f.rf > 1),
        "- all but the last": dense & allowed,
        "layers of projects": layers,
        "- with weights": layers & f.table.is_weight,
        "- with weights, as flow would build them": layers & f.table.is_weight & allowed,
    }
    groups |= {f"- {name}": layers & (regime == i) for i, name in enumerate(REGIMES)}
    groups |= {f"{name}": projects == name for name in sorted(set(projects[layers]))}
    table("SMAPE in %", ((n, int(m.sum()), errors(rows, module, m)) for n, m in groups.items() if m.any()))


def print_designs(designs: list[Design], predicted: Floats) -> None:
    reported = np.array([design.reported for design in designs])
    projects = np.array([design.project for design in designs])

    def numbers(mask: Bools) -> dict[str, float]:
        return {t: smape(reported[mask, i], predicted[mask, i]) for i, t in enumerate(DESIGN_TARGETS)}

    lines = [("whole designs", len(designs), numbers(np.ones(len(designs), dtype=bool)))]
    lines += [(name, int((projects == name).sum()), numbers(projects == name)) for name in sorted(set(projects))]
    table("Whole designs, SMAPE in %", iter(lines))


@dataclass(frozen=True)
class Intervals:
    """90% intervals by target, and which rows are inside (unknown ones are)."""

    low: Mapping[str, Floats]
    high: Mapping[str, Floats]
    inside: Mapping[str, Bools]


def intervals(rows: Rows, module: Module) -> Intervals:
    """Intervals whose quantiles, too, were found without the project (or the shapes) that a row is of."""
    cells = cells_of(rows.features())
    families = np.array([calibration.family_of(p) for p in rows.project])
    low, high = ({t: np.zeros(len(rows)) for t in TARGETS} for _ in range(2))
    inside = {t: np.zeros(len(rows), dtype=bool) for t in TARGETS}
    for family in sorted(set(families)):
        bands = calibration.bands(rows, module, leave_out=family)
        mine = families == family
        for t in TARGETS:
            ends = np.array([bands[c][t] for c in CELLS])[cells]
            ratio = calibration.log_ratio(rows.target(t), getattr(module, t), t)
            known = ~np.isfinite(ratio) | ((ratio >= ends[:, 0] - 1e-9) & (ratio <= ends[:, 1] + 1e-9))
            inside[t][mine] = known[mine]
            for side, column in ((low, 0), (high, 1)):
                value = (getattr(module, t) + OFFSET[t]) * np.exp(ends[:, column]) - OFFSET[t]
                side[t][mine] = np.maximum(value, 0)[mine]
    return Intervals(low, high, inside)


def print_coverage(rows: Rows, module: Module, designs: list[Design]) -> None:
    """Coverage of the 90% intervals, by row, and by project, each weighing the same."""
    f, dense, found = rows.features(), one_layer(rows), intervals(rows, module)
    low, high, inside = found.low, found.high, found.inside
    covered = {"one-layer dense": dense, "layers of projects": ~dense}
    lines = [(n, int(m.sum()), {t: 100 * inside[t][m].mean() for t in TARGETS}) for n, m in covered.items()]
    names = np.array(rows.project)
    own = [
        (project, int((names == project).sum()), {t: 100 * inside[t][names == project].mean() for t in TARGETS})
        for project in sorted(set(names[~dense]))
    ]
    lines.append(("layers of projects, mean of projects", len(own),
                  {t: float(np.mean([line[2][t] for line in own])) for t in TARGETS}))  # fmt: skip
    lines += own
    queue = fifos(f)
    extra = {
        "lut": (queue[0], TOP_LUT),
        "ff": (queue[1], TOP_FF),
        "bram18": (queue[2], 0.0),
        "dsp": (0 * queue[0], 0.0),
    }
    whole: dict[str, float] = {}
    mean: dict[str, float] = {}
    owners = np.array([d.project for d in designs])
    for i, t in enumerate(DESIGN_TARGETS[:4]):
        rest, top = extra[t]
        reported = np.array([design.reported[i] for design in designs])
        least, most = (np.array([(x[t] + rest)[d.rows].sum() + top for d in designs]) for x in (low, high))
        fine = (least <= reported) & (reported <= most)
        whole[t] = 100 * float(fine.mean())
        mean[t] = 100 * float(np.mean([fine[owners == owner].mean() for owner in sorted(set(owners))]))
    lines.append(("whole designs (sums of layers' ends)", len(designs), whole | {"interval": np.nan, "cycles": np.nan}))
    lines.append(("whole designs, mean of projects", len(set(owners)), mean | {"interval": np.nan, "cycles": np.nan}))
    table("Rows inside their 90% interval, %", iter(lines))


def print_refusals(rows: Rows) -> None:
    mine = rows.select(one_layer(rows))
    foreseen = refused(mine.features())
    hit, missed = int((foreseen & mine.failed).sum()), int((~foreseen & mine.failed).sum())
    wrong = int((foreseen & ~mine.failed).sum())
    print("### Refusals\n")
    print(
        f"{len(mine)} one-layer runs, {int(mine.failed.sum())} failed: {hit} foreseen, {missed} not, {wrong} wrongly."
    )
    print(f"Recall {100 * hit / (hit + missed):.1f}%, precision {100 * hit / (hit + wrong):.1f}%; without the")
    print(f"interrupted batch of {INTERRUPTED} runs recall {100 * hit / (hit + missed - INTERRUPTED):.1f}%.\n")


def print_priors(rows: Rows) -> None:
    """The same with weaker priors, which were chosen with all rows in view: how much of the accuracy is theirs."""
    usual = dict(calibration.PRIOR_WEIGHT)
    lines = []
    for factor in (1.0, 0.1, 0.01, 0.001):
        calibration.PRIOR_WEIGHT.update({k: v * factor for k, v in usual.items()})
        module = calibration.cross_predict(rows)
        for name, mask in (("one-layer dense", one_layer(rows)), ("layers of projects", ~one_layer(rows))):
            lines.append((f"{name}, priors x {factor:g}", int(mask.sum()), errors(rows, module, mask)))
    calibration.PRIOR_WEIGHT.update(usual)
    table("Weaker priors, SMAPE in %", iter(lines))


def print_learning_curve(rows: Rows) -> None:
    """Each project predicted from the one-layer runs and some of the other projects: would more projects help?"""
    projects = sorted({p for p in rows.project if not p.startswith("dense ")})
    names, dense = np.array(rows.project), one_layer(rows)
    lines = []
    for count in (0, 1, 2, 4, 7, len(projects) - 1):
        collected: dict[str, list[float]] = {t: [] for t in TARGETS}
        for draw in range(DRAWS if 0 < count < len(projects) - 1 else 1):
            rng = np.random.default_rng(draw)
            out = {t: np.full(len(rows), np.nan) for t in TARGETS}
            for project in projects:
                others = rng.permutation([p for p in projects if p != project])[:count]
                mine = names == project
                module = calibration.predict_rows(
                    calibration.fit(rows.select(dense | np.isin(names, others))), rows.select(mine)
                )
                for t in TARGETS:
                    out[t][mine] = getattr(module, t)
            for t in TARGETS:
                collected[t].append(smape(rows.target(t)[~dense], out[t][~dense]))
        lines.append((f"one-layer runs and {count} projects", int((~dense).sum()),
                      {t: float(np.mean(e)) for t, e in collected.items()}))  # fmt: skip
    table("Learning curve, layers of projects: SMAPE in %, mean of draws", iter(lines))


def print_speed() -> None:
    """Processor time of this process, so that other work on the machine does not count."""
    print("### Speed\n")
    cases = (
        ("mlp-jets", Task((16,), FixedFormat(8, 3), 5), False),
        ("cnn-cifar10", Task((32, 32, 3), FixedFormat(8, 0, signed=False), 10), True),
    )
    for name, task, streams in cases:
        space = load_space(name)
        batch = batch_table(space, space.sample(np.random.default_rng(0), 4000), task)
        t = batch.table
        reuse = np.where(t.is_weight, np.maximum(t.fan_in, 1), 0)
        stream, latency = np.full(len(t), streams), np.zeros(len(t), dtype=bool)
        count = int((batch.broken == 0).sum())
        one = np.flatnonzero(t.network == t.network[0])
        single = t.select(one)
        for estimator in (STRUCTURAL, CALIBRATED):
            estimator.rows(t, reuse, stream, latency, "zynq-7000")
            start = time.process_time()
            for _ in range(10):
                estimator.rows(t, reuse, stream, latency, "zynq-7000")
            many = (time.process_time() - start) / 10
            start = time.process_time()
            for _ in range(200):
                estimator.rows(single, reuse[one], stream[one], latency[one], "zynq-7000")
            alone = (time.process_time() - start) / 200
            batched = f"{count / many:,.0f} networks/s of {len(t) / count:.1f} layers in a batch"
            print(f"- {estimator.name}, {name}: {batched}, {1e3 * alone:.2f} ms for one of {len(one)} layers")
    print()


if __name__ == "__main__":
    sys.exit(main())
