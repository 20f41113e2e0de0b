"""Whole designs to check and calibrate with: the report of a top function joined to the rows of its layers."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flow.errors import InputError
from flow.estimate.calibrated import Module, fifos, network_cycles
from flow.estimate.calibration_data import Rows, number, run_of
from flow.estimate.features import CODE
from flow.estimate.structural import TOP_FF, TOP_LUT, Floats

DESIGN_TARGETS = ("lut", "ff", "bram18", "dsp", "interval", "cycles")
_COLUMNS = ("LUT", "FF", "BRAM_18K", "DSP", "ii_max", "lat_worst")


@dataclass(frozen=True, eq=False)
class Design:
    """One top function: ``rows`` are the indices of its layers, some maybe twice: equal layers share a module.

    ``reported`` is in the order of ``DESIGN_TARGETS``, NaN where unknown.
    """

    name: str
    project: str
    rows: NDArray[np.int64]
    reported: Floats


def read_designs(path: Path, rows: Rows) -> list[Design]:
    """The designs of a file all of whose layers are known from ``rows``; the others can't be summed.

    Columns: ``repo, report, layers, LUT, FF, DSP, BRAM_18K, ii_max, lat_worst``; ``layers`` is a list of
    ``name:kind`` with semicolons. Raises InputError where columns are missing.
    """
    with path.open(newline="", encoding="utf-8") as file:
        records = list(csv.DictReader(file))
    if records and not {"repo", "report", "layers", "LUT"} <= set(records[0]):
        raise InputError(f"{path}: not whole designs: it needs the columns repo, report, layers and LUT")
    designs = []
    for record in records:
        index = _layers(record, rows)
        if index is not None:
            reported = np.array([number(record, name) for name in _COLUMNS])
            designs.append(Design(run_of(record), record["repo"], index, reported))
    return designs


def _layers(record: Mapping[str, str], rows: Rows) -> NDArray[np.int64] | None:
    run = run_of(record)
    mine = [i for i, design in enumerate(rows.design) if design == run]
    conv = [i for i in mine if rows.table.op[i] in (CODE["conv2d"], CODE["depthwise"])]
    by_name = {rows.layer[i]: i for i in mine if rows.layer[i]}
    found = list(conv)
    needed = [item.rpartition(":")[::2] for item in record["layers"].split(";") if item]
    inner = [name for name, kind in needed if kind == "dense_config" and name not in by_name]
    if not needed or len(inner) != len(conv):  # a convolution's product is listed, too
        return None
    before = -1
    for name, kind in needed:
        if name in by_name:
            found.append(by_name[name])
        elif kind == "activ_config" and before >= 0:
            # A module that equal layers share has one report, and a tiny one is inlined: its like stands in.
            size = rows.table.out_c[before]
            like = [
                i for i in by_name.values() if rows.table.op[i] == CODE["activation"] and rows.table.in_c[i] == size
            ]
            like = like or _elsewhere(rows, record["repo"], name, int(size))
            if not like:
                return None
            found.append(like[0])
        elif kind not in ("dense_config", "conv1d_config", "conv2d_config"):
            return None
        if kind == "dense_config" and name in by_name:
            before = by_name[name]
    return np.array(sorted(found), dtype=np.int64)


def _elsewhere(rows: Rows, project: str, layer: str, size: int) -> list[int]:
    """The layer of that name and size in another design of the project, built for the same clock."""
    return [i for i in range(len(rows)) if rows.project[i] == project and rows.layer[i] == layer
            and rows.table.op[i] == CODE["activation"] and rows.table.in_c[i] == size]  # fmt: skip


def predict_designs(designs: list[Design], rows: Rows, module: Module) -> Floats:
    """Predictions of designs from those of their layers: shape (designs, len(DESIGN_TARGETS))."""
    f = rows.features()
    queue = fifos(f)
    out = np.zeros((len(designs), len(DESIGN_TARGETS)))
    for i, design in enumerate(designs):
        k = design.rows
        out[i, 0] = TOP_LUT + (module.lut[k] + queue[0][k]).sum()
        out[i, 1] = TOP_FF + (module.ff[k] + queue[1][k]).sum()
        out[i, 2] = (module.bram18[k] + queue[2][k]).sum()
        out[i, 3] = module.dsp[k].sum()
        out[i, 4:] = network_cycles(f.select(k), module.interval[k], module.cycles[k])
    return out
