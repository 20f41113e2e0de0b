"""Fit the coefficients of the calibrated model to reports, and adapt them to a user's own.

A fit is weighted least squares of relative errors, iterated towards least absolute relative errors, with coefficients
that are never negative and are drawn to physical priors. Every project counts the square root of its rows, so that no
single large project rules. No random numbers: the same files give the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flow.errors import InputError
from flow.estimate.calibrated import FITTED, OFFSET, Coefficients, Module, predict_modules, shipped
from flow.estimate.calibrated_terms import CELLS, PRIORS, REGIMES, cells_of, rows_of, shared_cycles, terms_of
from flow.estimate.calibration_data import TARGETS, Rows, read_pairs, read_rows
from flow.estimate.calibration_designs import DESIGN_TARGETS, Design, predict_designs, read_designs
from flow.estimate.calibration_runs import OwnReport, is_run, predict_reports, read_run
from flow.estimate.features import Features
from flow.estimate.structural import Bools, Floats
from flow.fileio import write_atomic

PRIOR_WEIGHT = {"lut": 3.0, "ff": 3.0, "cycles": 10.0}
"""Pull of a prior: this many rows with a relative error of 1 for a coefficient that is twice its prior. Strong for
cycles: they are whole numbers and few, and say little about each term."""

ITERATIONS, SWEEPS = 25, 100
LEVEL = 0.90
"""Coverage of the intervals."""

ADAPTED = ("lut", "ff")
"""What a user's own reports scale; DSPs, memories and cycles follow rules."""

SHRINKAGE = 5.0
"""A user's rows count against this many rows that say the shipped coefficients are right."""


def calibrate(paths: Iterable[Path], out: Path, base: Coefficients | None = None) -> Coefficients:
    """Fit coefficients to the files and write them to ``out`` as ``hls4ml.json``.

    Files are told apart by their columns: rows (see ``calibration_data``), whole designs (``calibration_designs``), and
    pairs of HLS and logic synthesis; folders are runs (``calibration_runs``). With ``base``, all are a user's own few
    reports: the coefficients of ``base`` stay, scaled by factors that are shrunk towards 1. Without, they are fitted to
    the rows, and scaled so to runs; runs alone scale those shipped. Raises InputError on a file of no known kind, and
    where nothing is left to calibrate with.
    """
    kinds: dict[str, list[Path]] = {"rows": [], "designs": [], "pairs": [], "run": []}
    for path in paths:
        kinds[kind_of(path)].append(path)
    own = [report for path in kinds["run"] for report in read_run(path)]
    if kinds["run"] and not own:
        raise InputError(
            f"{', '.join(map(str, kinds['run']))}: no candidate has a report of HLS yet, `flow synth RUN` makes them"
        )
    if own and not kinds["rows"]:
        base = base or shipped()
    rows = None if own and not kinds["rows"] else read_rows(kinds["rows"])
    if rows is None and (kinds["designs"] or kinds["pairs"]):
        raise InputError("whole designs and pairs need the rows of layers they are made of")
    designs = [] if rows is None else [design for path in kinds["designs"] for design in read_designs(path, rows)]
    if base is not None:
        fitted = adapt(base, rows, designs, own)
    else:
        assert rows is not None
        fitted = replace(fit(rows), synthesis=synthesis_ratios(kinds["pairs"]))
        fitted = replace(fitted, bands=fit_bands(rows), data=describe(rows) | {"whole designs": len(designs)})
        fitted = adapt(fitted, own=own) if own else fitted
    out.mkdir(parents=True, exist_ok=True)
    write_atomic(out / "hls4ml.json", fitted.to_json())
    return fitted


def kind_of(path: Path) -> str:
    """What a file holds, by its columns: "rows", "designs" or "pairs"; "run" for the folder of a search.

    Raises InputError if it can't be read.
    """
    if path.is_dir():
        if not is_run(path):
            raise InputError(f"{path} is not a run directory: run.yaml is missing")
        return "run"
    try:
        with path.open(encoding="utf-8") as file:
            columns = set(file.readline().strip().split(","))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: can't be read: {error}") from error
    if "viv_LUT" in columns:
        return "pairs"
    return "designs" if {"top", "layers", "n_layers"} <= columns else "rows"


# --- coefficients -------------------------------------------------------------------------------------------------


def fit(rows: Rows) -> Coefficients:
    """Coefficients fitted to rows; forks that rewrite hls4ml's streams and failed runs are left out."""
    use = rows.select(~rows.failed & ~np.broadcast_to(rows.details.serial, (len(rows),)))
    f = use.features()
    terms: dict[str, dict[str, dict[str, float]]] = {}
    for regime in REGIMES:
        index = np.flatnonzero(rows_of(regime, f))
        part = f.select(index)
        weights = project_weights([use.project[i] for i in index])
        terms[regime] = {}
        for target in FITTED:
            prior = PRIORS[regime, target]
            columns = terms_of(regime, target, part)
            phi = np.stack([columns.get(name, np.zeros(len(index))) for name in prior], axis=1)
            y = _wanted(target, use.target(target)[index], part)
            known = np.isfinite(y)
            values = solve(phi[known], y[known], weights[known], np.array(list(prior.values())),
                           OFFSET[target], PRIOR_WEIGHT[target])  # fmt: skip
            terms[regime][target] = dict(zip(prior, values.tolist(), strict=True))
    return Coefficients(terms, {}, {})


def _wanted(target: str, reported: Floats, f: Features) -> Floats:
    """What the terms have to sum to: cycles beyond those that follow from the reuse factor."""
    if target != "cycles":
        return reported
    position = np.where(f.conv, reported / f.positions, reported)
    wanted = np.where(f.folded, position - f.rf, reported + 0.5 - shared_cycles(f))
    usable = f.folded | ~f.conv
    return np.where(
        usable,
        np.maximum(np.where(f.table.is_weight, wanted, reported - np.where(f.stream, f.positions, 0)), 0),
        np.nan,
    )


def solve(phi: Floats, y: Floats, weights: Floats, prior: Floats, offset: float, pull: float) -> Floats:
    """Coefficients >= 0 that minimise the weighted absolute errors of ``phi @ c``, relative to the mean of it and
    ``y``, ``offset`` added to both: errors relative to ``y`` alone would favour predicting too little.

    Iteratively reweighted least squares with a ridge around ``prior``, by cyclic coordinate descent.
    """
    c = prior.astype(np.float64)
    ridge = pull / np.maximum(prior, 1e-6) ** 2
    for _ in range(ITERATIONS):
        value = phi @ c
        scale = 2 / (y + value + 2 * offset)
        w = weights * scale**2 / np.maximum(np.abs(value - y) * scale, 0.02)
        gram = (phi * w[:, None]).T @ phi + np.diag(ridge)
        target = (phi * w[:, None]).T @ y + ridge * prior
        for _ in range(SWEEPS):
            before = c.copy()
            for j in range(len(c)):
                c[j] = max(0.0, c[j] + (target[j] - gram[j] @ c) / gram[j, j])
            if np.max(np.abs(c - before) / (before + 1e-3)) < 1e-4:
                break
    return c


def project_weights(projects: Sequence[str]) -> Floats:
    """Weight of each row: a project of n rows weighs sqrt(n). One-layer runs are one project."""
    names = [family_of(p) for p in projects]
    counts = {name: names.count(name) for name in set(names)}
    return np.array([1 / math.sqrt(counts[name]) for name in names])


def family_of(project: str) -> str:
    """The project, all one-layer runs being one."""
    return "one-layer dense" if project.startswith("dense ") else project


# --- cross-validation and intervals -------------------------------------------------------------------------------


def folds_of(rows: Rows, parts: int = 10) -> NDArray[np.int64]:
    """Fold of each row. Projects are folds of their own; the shapes of one-layer runs are dealt to ``parts`` folds."""
    shapes = sorted({p for p in rows.project if p.startswith("dense ")})
    others = sorted({p for p in rows.project if not p.startswith("dense ")})
    # Neighbours in the sorted list go to different folds.
    number = {p: i % parts for i, p in enumerate(shapes)} | {p: parts + i for i, p in enumerate(others)}
    return np.array([number[p] for p in rows.project])


def cross_predict(rows: Rows, parts: int = 10) -> Module:
    """Predictions of each row by coefficients that were fitted without its project, or shape."""
    folds = folds_of(rows, parts)
    out = {name: np.full(len(rows), np.nan) for name in TARGETS}
    for fold in np.unique(folds):
        inside = folds == fold
        module = predict_rows(fit(rows.select(~inside)), rows.select(inside))
        for name in TARGETS:
            out[name][inside] = getattr(module, name)
    return Module(out["lut"], out["ff"], out["bram18"], out["dsp"], out["interval"], out["cycles"])


def predict_rows(coefficients: Coefficients, rows: Rows) -> Module:
    """Predictions of rows, each for its own kind of device."""
    f = rows.features()
    out = predict_modules(coefficients, f)
    old = predict_modules(coefficients, f, "zynq-7000")
    return replace(out, dsp=np.where(rows.ultra, out.dsp, old.dsp))


def fit_bands(rows: Rows) -> dict[str, dict[str, tuple[float, float]]]:
    """Conformal intervals from cross-predictions: see ``bands``."""
    use = rows.select(~rows.failed & ~np.broadcast_to(rows.details.serial, (len(rows),)))
    return bands(use, cross_predict(use))


def bands(rows: Rows, module: Module, leave_out: str | None = None) -> dict[str, dict[str, tuple[float, float]]]:
    """Quantiles of the log ratios by cell and target, of all projects but ``leave_out``.

    Within a cell each project weighs the same, so that an interval holds for a project unlike the others. A cell of
    fewer than three projects is filled up with all rows, which then weigh what is missing of three.
    """
    f = rows.features()
    cells = cells_of(f)
    keep = np.array([family_of(p) != leave_out for p in rows.project])
    families = np.array([family_of(p) for p in rows.project])
    result: dict[str, dict[str, tuple[float, float]]] = {}
    for number, cell in enumerate(CELLS):
        result[cell] = {}
        for target in TARGETS:
            errors = log_ratio(rows.target(target), getattr(module, target), target)
            known = np.isfinite(errors) & keep
            inside = known & (cells == number)
            names = len(set(families[inside]))
            weights = names * _shares(families, inside) + max(3 - names, 0) * _shares(families, known)
            low = weighted_quantile(errors[known], weights[known], (1 - LEVEL) / 2)
            high = weighted_quantile(errors[known], weights[known], (1 + LEVEL) / 2)
            result[cell][target] = (min(low, 0.0), max(high, 0.0))
    return result


def _shares(families: NDArray[np.str_], rows: Bools) -> Floats:
    weights = np.zeros(len(families))
    for name in set(families[rows]):
        mine = rows & (families == name)
        weights[mine] = 1 / mine.sum()
    return weights / max(float(weights.sum()), 1e-12)


def log_ratio(reported: Floats, predicted: Floats, target: str) -> Floats:
    """log of reported to predicted, both with the target's offset added."""
    ratio: Floats = np.log((reported + OFFSET[target]) / (predicted + OFFSET[target]))
    return ratio


def weighted_quantile(values: Floats, weights: Floats, level: float) -> float:
    """The smallest value (largest for levels below a half) that leaves at most the tail's weight beyond it."""
    if not len(values):
        return 0.0
    order = np.argsort(values, kind="stable")
    share = np.cumsum(weights[order]) / weights.sum()
    if level >= 0.5:
        return float(values[order][min(int(np.searchsorted(share, level)), len(values) - 1)])
    return -weighted_quantile(-values, weights, 1 - level)


# --- logic synthesis, own reports ---------------------------------------------------------------------------------


def synthesis_ratios(paths: Iterable[Path]) -> dict[str, tuple[float, float, float]]:
    """5%, 50% and 95% quantiles of the log ratio of logic synthesis to HLS; projects weigh the same."""
    pairs = [pair for path in paths for pair in read_pairs(path)]
    out = {}
    for name in ("lut", "ff", "bram18", "dsp"):
        known = [(p.project, math.log(p.synthesized[name] / p.hls[name])) for p in pairs
                 if p.hls[name] > 0 and p.synthesized[name] > 0]  # fmt: skip
        if not known:
            continue
        projects = [k[0] for k in known]
        values = np.array([k[1] for k in known])
        weights = np.array([1 / projects.count(p) for p in projects])
        low, middle, high = (weighted_quantile(values, weights, q) for q in (0.05, 0.5, 0.95))
        # So few projects hardly show the tails: a t-like factor widens what they span.
        wider = 1 + 2 / math.sqrt(max(len(set(projects)), 1))
        out[name] = (middle + (low - middle) * wider, middle, middle + (high - middle) * wider)
    return out


def adapt(
    base: Coefficients, rows: Rows | None = None, designs: Sequence[Design] = (), own: Sequence[OwnReport] = ()
) -> Coefficients:
    """``base`` with factors for a user's tool and board: the shrunk median log ratio of each target.

    Whole designs and own reports count as rows do. Raises InputError if nothing holds an amount to compare.
    """
    plain = replace(base, scale={})
    count = len(designs) + len(own)
    found: dict[str, list[Floats]] = {target: [] for target in ADAPTED}
    if rows is not None:
        use = np.flatnonzero(~rows.failed)
        count += len(use)
        module = predict_rows(plain, rows)
        sums = predict_designs(list(designs), rows, module)
        for target in ADAPTED:
            number = DESIGN_TARGETS.index(target)
            whole = np.array([design.reported[number] for design in designs])
            found[target] += [log_ratio(rows.target(target), getattr(module, target), target)[use],
                              log_ratio(whole, sums[:, number], target)]  # fmt: skip
    for target in ADAPTED:
        if own:
            found[target].append(log_ratio(*predict_reports(plain, list(own), target), target))
    scale = {}
    for target, parts in found.items():
        errors = np.concatenate(parts)
        errors = errors[np.isfinite(errors)]
        if len(errors):
            # The median: a layer the model knows nothing of must not move all others.
            scale[target] = math.exp(float(np.median(errors)) * len(errors) / (len(errors) + SHRINKAGE))
    if not scale:
        raise InputError("no row holds LUTs or flip-flops to adapt the coefficients to")
    return replace(base, scale=scale, data={**base.data, "adapted to": count})


def describe(rows: Rows) -> dict[str, Any]:
    """Counts of what was fitted to, for the model card."""
    families = [family_of(p) for p in rows.project]
    serial = np.broadcast_to(rows.details.serial, (len(rows),))
    counts: Mapping[str, int] = {name: families.count(name) for name in sorted(set(families))}
    versions = {v: rows.version.count(v) for v in sorted(set(rows.version))}
    return {"rows": len(rows), "failed": int(rows.failed.sum()), "forks left out": int(serial.sum()),
            "projects": dict(counts), "tool versions": versions}  # fmt: skip
