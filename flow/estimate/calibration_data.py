"""Rows to calibrate with: reports of HLS joined to what was built, from CSV files.

Two kinds of files are known by their columns. One-layer dense designs: ``d_in, d_out, prec, rf, strategy,
hls_synth_success, ...`` (Dendendelen/wa-hls4ml-search). Layers of projects: ``repo, root, module, layer, kind, n_in,
n_out, ...``, whose columns a user can fill in from reports of their own. Missing values are NaN, never 0.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flow.errors import InputError
from flow.estimate.features import CODE, Details, Features, features_of
from flow.estimate.structural import Bools, Floats, Ints
from flow.estimate.table import COLUMNS, WEIGHT_CODE, LayerTable

TARGETS = ("lut", "ff", "bram18", "dsp", "interval", "cycles")
"""What is fitted; ``cycles`` is the latency of the module, ``interval`` its initiation interval."""

_FIXED = re.compile(r"ap_(u?)fixed<(\d+),\s*(-?\d+)")
_IN_NAME = re.compile(r"ap_(u?)fixed_(\d+)_(\d+)(?:_\d+_\d+_\d+)?")
SKIPPED_KINDS = ("resize_config", "gru_config", "film_config", "sum1d_config", "concat_config", "mask_track_config",
                 "merge_config", "slice_tensor1d_config")  # fmt: skip
"""Kinds of modules that no Network has."""

HELPERS = ("cnnshift_arr", "shift_line_buffer", "compute_output_buffer", "compute_global_pool")
"""Modules inside a layer's module, by the start of their name."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Layers with what HLS reported. ``project`` is what cross-validation holds out, ``design`` the run a row is of.

    ``reported``: shape (rows, len(TARGETS)), NaN where unknown; all NaN for a run that failed, see ``failed``.
    """

    table: LayerTable
    reuse: Ints
    stream: Bools
    latency: Bools
    ultra: Bools
    details: Details
    reported: Floats
    failed: Bools
    project: tuple[str, ...]
    design: tuple[str, ...]
    layer: tuple[str, ...]
    version: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.table)

    def features(self) -> Features:
        """Features of all rows."""
        return features_of(self.table, self.reuse, self.stream, self.latency, self.ultra, self.details)

    def target(self, name: str) -> Floats:
        """The reported values of one of ``TARGETS``."""
        return self.reported[:, TARGETS.index(name)]

    def select(self, rows: NDArray[np.bool_] | Ints) -> Rows:
        """The given rows."""
        index = np.flatnonzero(rows) if rows.dtype == bool else rows

        def pick(texts: Sequence[str]) -> tuple[str, ...]:
            return tuple(texts[i] for i in index)

        return Rows(
            self.table.select(index), self.reuse[index], self.stream[index], self.latency[index], self.ultra[index],
            self.details.select(index), self.reported[index], self.failed[index], pick(self.project),
            pick(self.design), pick(self.layer), pick(self.version),
        )  # fmt: skip


@dataclass
class _Row:
    columns: dict[str, int]
    reuse: int
    stream: bool
    latency: bool
    ultra: bool
    details: dict[str, float]
    reported: tuple[float, ...]
    failed: bool
    project: str
    design: str
    layer: str
    version: str


def read_rows(paths: Iterable[Path]) -> Rows:
    """All rows of the files, in their order. Raises InputError on a file of neither kind."""
    found: list[_Row] = []
    for path in paths:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            names = set(reader.fieldnames or ())
            records = list(reader)
        if {"d_in", "d_out", "prec", "rf", "strategy", "hls_synth_success"} <= names:
            found += [_one_layer(r, f"{path.name}:{i}") for i, r in enumerate(records, 2)]
        elif {"repo", "report", "module", "layer", "config", "kind", "reuse_factor"} <= names:
            found += _project_layers(records, path.name)
        else:
            raise InputError(f"{path}: neither one-layer designs nor layers of projects: no known columns")
    if not found:
        raise InputError("no rows to calibrate with")
    return _collect(found)


def _collect(found: Sequence[_Row]) -> Rows:
    columns = {name: np.array([r.columns.get(name, 0) for r in found], dtype=np.int64) for name in COLUMNS}
    columns["network"] = np.arange(len(found))
    details = {name: np.array([r.details[name] for r in found]) for name in found[0].details}
    return Rows(
        LayerTable.from_columns(len(found), columns), np.array([r.reuse for r in found], dtype=np.int64),
        np.array([r.stream for r in found]), np.array([r.latency for r in found]),
        np.array([r.ultra for r in found]),
        Details(clock_ns=details["clock_ns"], density=details["density"], trained=details["trained"] > 0,
                use_dsp=details["use_dsp"] > 0, serial=details["serial"] > 0, integer=details["integer"]),
        np.array([r.reported for r in found]), np.array([r.failed for r in found]),
        tuple(r.project for r in found), tuple(r.design for r in found), tuple(r.layer for r in found),
        tuple(r.version for r in found),
    )  # fmt: skip


def number(record: Mapping[str, str], *names: str) -> float:
    """The first of the columns that holds a number; NaN if none does."""
    for name in names:
        try:
            return float(record.get(name) or "")
        except ValueError:
            continue
    return math.nan


def _whole(record: Mapping[str, str], name: str, where: str, least: int = 1) -> int:
    value = number(record, name)
    if not value >= least or value != int(value):
        raise InputError(f"{where}: {name} must be a whole number >= {least}, not {record.get(name)!r}")
    return int(value)


def _one_layer(record: Mapping[str, str], where: str) -> _Row:
    n, o, bits, rf = (_whole(record, name, where) for name in ("d_in", "d_out", "prec", "rf"))
    # hls4ml's default type, ap_fixed<16,6>, for the input and the accumulator; QDense with prec bits, untrained.
    columns = {
        "op": CODE["dense"], "in_h": 1, "in_w": 1, "in_c": n, "out_h": 1, "out_w": 1, "out_c": o, "kernel_h": 1,
        "kernel_w": 1, "stride_h": 1, "stride_w": 1, "fan_in": n, "inputs": 1, "x_width": 16, "x_signed": 1,
        "w_kind": WEIGHT_CODE["fixed"], "w_width": bits, "bias_width": bits, "out_width": 16,
    }  # fmt: skip
    reported = tuple(
        number(record, name)
        for name in ("LUT_hls", "FF_hls", "BRAM_18K_hls", "DSP_hls", "IntervalMax_hls", "WorstLatency_hls")
    )
    details = {"clock_ns": 5.0, "density": math.nan, "trained": 0.0, "use_dsp": 1.0, "serial": 0.0, "integer": 1.0}
    return _Row(
        columns, rf, False, record["strategy"] == "latency", True, details, reported,
        record["hls_synth_success"] != "TRUE", f"dense {n}x{o}", record.get("model_name") or where, "dense", "2020.1",
    )  # fmt: skip


def _project_layers(records: Sequence[Mapping[str, str]], name: str) -> list[_Row]:
    """One row a layer: the outermost of its modules. Rows whose configuration isn't that of the report are dropped."""
    best: dict[tuple[str, ...], tuple[int, Mapping[str, str]]] = {}
    # HGQ's layers (h_dense, ...): each weight has a width of its own, the type is that of the widest.
    mixed = {(r["repo"], r["root"]) for r in records if r["layer"].startswith("h_")}
    for line, record in enumerate(records, 2):
        if (record["repo"], record["root"]) in mixed:
            continue
        if record["kind"] in SKIPPED_KINDS or not number(record, "LUT") >= 0:
            continue
        if record["module"].startswith(HELPERS):
            continue
        key = (run_of(record), record["kind"], record["config"], record["layer"])
        # Helpers (line buffers, the product inside a layer) take less of everything and not more cycles.
        if key not in best or _size(record) > _size(best[key][1]):
            best[key] = (line, record)
    rows = []
    widths: dict[str, list[int]] = {}
    for record in records:
        if match := _FIXED.match(record["accum_t"]):
            widths.setdefault(record["repo"], []).append(int(match[2]))
    for line, record in best.values():
        known = widths.get(record["repo"], [16])
        # Streams name no types: the commonest width of the project stands in.
        usual = max(sorted(set(known)), key=known.count)
        row = _project_layer(record, f"{name}:{line}", usual)
        if row is not None:
            rows.append(row)
    return rows


def run_of(record: Mapping[str, str]) -> str:
    """The run of HLS that a report is of: repository, commit and folder; branches reuse folders."""
    return f"{record['repo']}@{record.get('commit', '')[:8]}/{record['report'].rpartition('/')[0]}"


def _size(record: Mapping[str, str]) -> tuple[float, ...]:
    return tuple(np.nan_to_num([number(record, n) for n in ("lat_worst", "LUT", "FF")]))


def _project_layer(record: Mapping[str, str], where: str, usual: int) -> _Row | None:
    kind, module = record["kind"], record["module"]
    part = record["part"]
    serial = module.split("_ap_")[0].endswith(("_me", "_ss", "_switch", "_arr")) and "array" not in module
    stream = "array" in module or serial or record["io"].endswith("io_stream")
    types = [(int(w), sign == "u") for sign, w, _ in _IN_NAME.findall(record["types_in_name"])]
    weight = _FIXED.match(record["weight_t"]) or _FIXED.match(record["accum_t"])
    accumulator = _FIXED.match(record["accum_t"])
    w = int(weight[2]) if weight else usual
    acc = int(accumulator[2]) if accumulator else usual
    # Names of streamed modules hold the type of one element at most; hls4ml's habit is one type for a project.
    named = [t for t in types if record["types_in_name"].count("_") > 2]
    x, y = (named[0][0], named[-1][0]) if named else (max(w, 8), acc)
    rf = number(record, "reuse_factor")
    columns, fan_in = _shape(record, kind, module)
    if columns is None:
        return None
    if kind == "activ_config" and stream and not serial and columns["in_w"] == 1 and columns["in_c"] > 512:
        return None  # the channels of a position are not known
    if kind.startswith("conv") and not stream:
        return None  # unrolled over all positions: flow.implement.rules.check_io refuses it
    latency = record["strategy"].endswith("latency")
    is_weight = fan_in > 0
    out = acc if is_weight else y
    columns |= {"x_width": x, "x_signed": 1, "w_kind": WEIGHT_CODE["fixed" if is_weight else "none"],
                "w_width": w if is_weight else 0, "bias_width": w if is_weight else 0, "out_width": out,
                "inputs": 1, "fan_in": fan_in}  # fmt: skip
    zeros, nonzeros = number(record, "n_zeros"), number(record, "n_nonzeros")
    if not math.isnan(zeros) and math.isnan(nonzeros):
        nonzeros = fan_in * columns["out_c"] - zeros
    dsp = number(record, "DSP")
    whole = is_weight and not latency and rf > 1 and dsp > 0 and min(w, x) >= 10 and max(w, x) <= 18 and not serial
    if whole and not 0.9 < dsp / math.ceil(fan_in * columns["out_c"] / rf) < 1.1:
        return None  # exact in every sound row: here parameters.h was changed after the report was made
    details = {
        "clock_ns": number(record, "clk_target"),
        "density": nonzeros / (zeros + nonzeros) if zeros + nonzeros > 0 and zeros > 0 else math.nan,
        "trained": 1.0,
        # One project built each network with and without DSPs and named the folders so.
        "use_dsp": 0.0 if "/LUT_" in record["root"] else 1.0,
        "serial": float(serial),
        "integer": float(weight[3]) if weight and is_weight else 1.0,
    }
    reported = (number(record, "LUT"), number(record, "FF"), number(record, "BRAM_18K"), dsp,
                number(record, "ii_max"), number(record, "lat_worst"))  # fmt: skip
    return _Row(
        columns, int(rf) if rf >= 1 else 1, stream, latency, is_ultrascale(part), details, reported, False,
        record["repo"], run_of(record), record["layer"], record["version"],
    )  # fmt: skip


def is_ultrascale(part: str) -> bool:
    """UltraScale and later by the part's name, else 7-series: xcku, xcvu, xcu, xczu, xck26, ..."""
    return not part.lower().lstrip("xc").startswith(("7", "a7", "k7", "v7", "z0"))


def _shape(record: Mapping[str, str], kind: str, module: str) -> tuple[dict[str, int] | None, int]:
    """Shape columns and fan-in (0: no weights); None for a module that isn't a layer known here."""
    get = {n: int(v) if (v := number(record, n)) >= 1 else 1
           for n in ("n_in", "n_out", "in_height", "in_width", "n_chan", "n_filt", "filt_height", "filt_width",
                     "stride_w", "pool_w")}  # fmt: skip
    flat = {"in_h": 1, "in_w": 1, "out_h": 1, "out_w": 1, "kernel_h": 1, "kernel_w": 1, "stride_h": 1, "stride_w": 1}
    if kind == "dense_config":
        return flat | {"op": CODE["dense"], "in_c": get["n_in"], "out_c": get["n_out"]}, get["n_in"]
    if kind in ("conv1d_config", "conv2d_config"):
        depthwise = module.startswith("depthwise")
        h, width = get["in_height"], get["in_width"]
        kh, kw = get["filt_height"], get["filt_width"]
        stride = get["stride_w"]
        # The input is padded already.
        shape = {"in_h": h, "in_w": width, "out_h": max((h - kh) // stride + 1, 1),
                 "out_w": max((width - kw) // stride + 1, 1), "kernel_h": kh, "kernel_w": kw, "stride_h": stride,
                 "stride_w": stride, "in_c": get["n_chan"], "out_c": get["n_filt"]}  # fmt: skip
        op = CODE["depthwise"] if depthwise else CODE["conv2d"]
        return shape | {"op": op}, kh * kw * (1 if depthwise else get["n_chan"])
    if kind in ("pooling1d_config", "pooling2d_config"):
        top = "global" in module
        size = max(get["filt_width"], get["pool_w"], get["stride_w"])
        h, width = get["in_height"], max(get["in_width"], get["n_in"])
        kh = size if kind == "pooling2d_config" else 1
        channels = max(get["n_chan"], get["n_filt"])
        if top:
            return flat | {"op": CODE["global_avgpool"], "in_w": width, "in_c": channels, "out_c": channels,
                           "kernel_w": width}, 0  # fmt: skip
        return {"op": CODE["maxpool"], "in_h": h, "in_w": width, "out_h": max(h // kh, 1), "out_w": width // size,
                "kernel_h": kh, "kernel_w": size, "stride_h": kh, "stride_w": size, "in_c": channels,
                "out_c": channels}, 0  # fmt: skip
    if kind == "padding2d_config":
        shape = {"in_h": get["in_height"], "in_w": get["in_width"], "in_c": get["n_chan"], "out_c": get["n_chan"]}
        # The columns do not say how much is padded: a row and column on each side, as 3x3 kernels need.
        return flat | shape | {"op": CODE["padding"], "out_h": shape["in_h"] + 2, "out_w": shape["in_w"] + 2}, 0
    if kind not in ("activ_config", "batchnorm_config"):
        return None, 0
    name = "batchnorm" if kind == "batchnorm_config" else "activation"
    if module.startswith("softmax"):
        name = "softmax"
    elif module.startswith("linear"):
        name = "linear"
    elif module.startswith(("sigmoid", "tanh", "elu", "selu")):
        name = "table_activation"
    elements = get["n_in"]
    packed = re.search(r"ap_u?fixed_(\d+)(?:_|$|\|)", record["types_in_name"])
    channels = elements
    if "array" in module and packed:
        last = record["types_in_name"].split("_")[-1]
        channels = int(packed[1]) if "_5_" not in record["types_in_name"].split("|")[0] else int(last)
    channels = max(min(channels, elements), 1)
    positions = max(elements // channels, 1)
    return flat | {"op": CODE[name], "in_c": channels, "out_c": channels, "in_w": positions, "out_w": positions}, 0


@dataclass(frozen=True)
class Pair:
    """One design's resources by HLS and by logic synthesis; RAMB18 in both."""

    project: str
    hls: Mapping[str, float]
    synthesized: Mapping[str, float]


def read_pairs(path: Path) -> list[Pair]:
    """Pairs of HLS and logic synthesis: columns ``repo, hls_LUT, ..., viv_LUT, ..., viv_BRAM_tile``."""
    pairs = []
    with path.open(newline="", encoding="utf-8") as file:
        for record in csv.DictReader(file):
            hls = {n: number(record, c) for n, c in
                   (("lut", "hls_LUT"), ("ff", "hls_FF"), ("dsp", "hls_DSP"), ("bram18", "hls_BRAM18"))}  # fmt: skip
            after = {n: number(record, c) for n, c in (("lut", "viv_LUT"), ("ff", "viv_FF"), ("dsp", "viv_DSP"))}
            after["bram18"] = 2 * number(record, "viv_BRAM_tile")
            pairs.append(Pair(record["repo"], hls, after))
    return pairs
