"""Calibration gives the same bytes each time, adapts to a user's reports, and meets its figures on the public data."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flow.errors import InputError
from flow.estimate.calibrated import predict_modules, shipped
from flow.estimate.calibrated_refusals import refused
from flow.estimate.calibration import (
    adapt,
    bands,
    calibrate,
    cross_predict,
    fit,
    folds_of,
    kind_of,
    project_weights,
    solve,
    weighted_quantile,
)
from flow.estimate.calibration_data import TARGETS, Rows, is_ultrascale, read_rows
from flow.estimate.calibration_designs import predict_designs, read_designs

SYNTHESIS = "synthesis"
ONE_LAYER = ["model_name", "d_in", "d_out", "prec", "rf", "strategy", "hls_synth_success", "WorstLatency_hls",
             "IntervalMax_hls", "FF_hls", "LUT_hls", "BRAM_18K_hls", "DSP_hls"]  # fmt: skip
LAYER = ["repo", "commit", "root", "report", "module", "layer", "config", "kind", "n_in", "n_out", "io", "strategy",
         "reuse_factor", "n_zeros", "n_nonzeros", "weight_t", "accum_t", "types_in_name", "version", "part",
         "clk_target", "lat_worst", "ii_max", "LUT", "FF", "DSP", "BRAM_18K"]  # fmt: skip


def write(path: Path, columns: Sequence[str], records: Sequence[Mapping[str, object]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(records)
    return path


def one_layer_runs(path: Path, lut_factor: float = 1.0) -> Path:
    """Made-up runs that follow what the shipped coefficients say, LUTs times a factor; the largest failed."""
    records = []
    for n in (32, 64, 128):
        for o in (16, 32):
            for reuse in (n, 2 * n, 4 * n, 1):
                failed = reuse == 1 and n * o >= 4096
                record = {"model_name": f"m{n}_{o}", "d_in": n, "d_out": o, "prec": 8, "rf": reuse,
                          "strategy": "resource", "hls_synth_success": "FALSE" if failed else "TRUE"}  # fmt: skip
                records.append(record)
    rows = read_rows([write(path, ONE_LAYER, records)])
    module = predict_modules(shipped(), rows.features())
    for i, record in enumerate(records):
        if record["hls_synth_success"] == "TRUE":
            record |= {"LUT_hls": round(module.lut[i] * lut_factor), "FF_hls": module.ff[i],
                       "BRAM_18K_hls": module.bram18[i], "DSP_hls": module.dsp[i],
                       "IntervalMax_hls": module.interval[i], "WorstLatency_hls": module.cycles[i]}  # fmt: skip
    return write(path, ONE_LAYER, records)


def layer(**more: object) -> dict[str, object]:
    return {"repo": "me/mine", "commit": "1", "root": "prj/", "report": "prj/syn/report/dense_csynth.xml",
            "module": "dense_resource_ap_fixed_16_6_5_3_0_ap_fixed_16_6_5_3_0_config2_s", "layer": "fc1",
            "config": "config2", "kind": "dense_config", "n_in": 16, "n_out": 64, "io": "nnet::io_parallel",
            "strategy": "nnet::resource", "reuse_factor": 16, "n_zeros": 0, "n_nonzeros": 1024,
            "weight_t": "ap_fixed<16,6>", "accum_t": "ap_fixed<16,6>",
            "types_in_name": "ap_fixed_16_6_5_3_0|ap_fixed_16_6_5_3_0", "version": "2022.2",
            "part": "xc7z020-clg400-1", "clk_target": 5.0, "lat_worst": 18, "ii_max": 16, "LUT": 3000, "FF": 2500,
            "DSP": 64, "BRAM_18K": 29} | more  # fmt: skip


def smape(reported: np.ndarray, predicted: np.ndarray) -> float:
    """Mean of |p - r| / ((|p| + |r|) / 2) in percent, 0 where both are 0: 200 at most."""
    known = np.isfinite(reported)
    r, p = reported[known], predicted[known]
    both = np.abs(r) + np.abs(p)
    return float(200 * np.mean(np.abs(p - r) / np.where(both > 0, both, 1)))


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    data = one_layer_runs(tmp_path / "runs.csv")
    for name in ("a", "b"):
        calibrate([data], tmp_path / name)
    first, second = ((tmp_path / name / "hls4ml.json").read_bytes() for name in ("a", "b"))
    assert first == second


def test_a_fit_finds_the_hardware_that_made_the_rows(tmp_path: Path) -> None:
    rows = read_rows([one_layer_runs(tmp_path / "runs.csv", 1.2)])
    good = rows.select(~rows.failed)
    module = predict_modules(fit(rows), good.features())
    assert smape(good.target("lut"), module.lut) < 4
    assert smape(good.target("dsp"), module.dsp) == 0


def test_a_users_few_reports_move_the_scale_part_of_the_way(tmp_path: Path) -> None:
    data = one_layer_runs(tmp_path / "mine.csv", 0.5)
    rows = read_rows([data])
    few, all_rows = adapt(shipped(), rows.select(np.arange(3))), calibrate([data], tmp_path / "out", shipped())
    assert 0.5 < all_rows.scale["lut"] < few.scale["lut"] < 1
    assert all_rows.scale["ff"] == pytest.approx(1.0, abs=0.01)
    assert all_rows.terms == shipped().terms
    assert (tmp_path / "out" / "hls4ml.json").is_file()


def test_one_absurd_report_moves_nothing_far(tmp_path: Path) -> None:
    rows = read_rows([one_layer_runs(tmp_path / "mine.csv")])
    reported = rows.reported.copy()
    reported[0, TARGETS.index("lut")] *= 1000
    scale = adapt(shipped(), replace(rows, reported=reported)).scale
    assert scale["lut"] == pytest.approx(1.0, abs=0.02)


def test_a_layer_is_its_outermost_module_and_helpers_are_not_counted(tmp_path: Path) -> None:
    records = [
        layer(),
        layer(module="dense_wrapper_ap_fixed_16_6_5_3_0_config2_s", LUT=2500, lat_worst=17),
        layer(module="cnnshift_arr_ap_fixed_16_6_5_3_0_config9_s", config="config9", layer="", kind="conv2d_config"),
        layer(kind="gru_config", layer="gru", config="config3"),
        layer(layer="fc2", config="config5", LUT=""),
    ]
    rows = read_rows([write(tmp_path / "layers.csv", LAYER, records)])
    assert rows.layer == ("fc1",)
    assert rows.target("lut").tolist() == [3000]
    assert not rows.ultra[0]


def test_a_report_that_does_not_belong_to_its_configuration_is_left_out(tmp_path: Path) -> None:
    records = [layer(), layer(layer="fc2", config="config5", reuse_factor=8)]  # 128 multipliers, the report has 64
    assert read_rows([write(tmp_path / "layers.csv", LAYER, records)]).layer == ("fc1",)


def test_a_design_is_the_sum_of_its_layers_and_the_top(tmp_path: Path) -> None:
    relu = {"kind": "activ_config", "strategy": "", "module": "relu_ap_fixed_16_6_5_3_0_ap_ufixed_8_1_4_0_0_relu_s"}
    records = [
        layer(),
        layer(layer="relu1", config="relu_config3", n_in=64, n_out="", weight_t="", accum_t="", LUT=2500, FF=0,
              DSP=0, BRAM_18K=0, lat_worst=0, ii_max=1, **relu),
        layer(layer="fc2", config="config4", n_in=64, n_out=64, reuse_factor=64),
    ]  # fmt: skip
    rows = read_rows([write(tmp_path / "layers.csv", LAYER, records)])
    columns = [
        "repo",
        "commit",
        "report",
        "top",
        "n_layers",
        "layers",
        "LUT",
        "FF",
        "DSP",
        "BRAM_18K",
        "ii_max",
        "lat_worst",
    ]
    names = "fc1:dense_config;relu1:activ_config;fc2:dense_config;relu2:activ_config"
    design = {"repo": "me/mine", "commit": "1", "report": "prj/syn/report/myproject_csynth.xml", "top": "myproject",
              "n_layers": 4, "LUT": 12000, "FF": 5000, "DSP": 128, "BRAM_18K": 40, "ii_max": 64,
              "lat_worst": 90}  # fmt: skip
    path = write(
        tmp_path / "designs.csv", columns, [design | {"layers": names}, design | {"layers": "fc9:dense_config"}]
    )
    assert kind_of(path) == "designs"
    (found,) = read_designs(path, rows)  # the second has a layer that no row describes
    assert found.rows.tolist() == [0, 1, 1, 2]  # relu2 is built of relu1's module
    module = predict_modules(shipped(), rows.features())
    whole = predict_designs([found], rows, module)[0]
    assert whole[0] == 100 + module.lut[0] + 2 * module.lut[1] + module.lut[2]
    assert whole[3] == 128
    assert whole[4] == 64


def test_a_file_of_another_kind_is_one_clear_error(tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"other\.csv: neither one-layer designs nor layers"):
        calibrate([other], tmp_path)
    with pytest.raises(InputError, match="can't be read"):
        calibrate([tmp_path / "none.csv"], tmp_path)
    wrong = write(tmp_path / "wrong.csv", ONE_LAYER, [{"d_in": "x", "d_out": 2, "prec": 8, "rf": 1}])
    with pytest.raises(InputError, match=r"wrong\.csv:2: d_in must be a whole number >= 1, not 'x'"):
        calibrate([wrong], tmp_path)


def test_no_project_is_in_two_folds_and_a_large_one_does_not_rule(tmp_path: Path) -> None:
    rows = read_rows([one_layer_runs(tmp_path / "runs.csv")])
    folds = folds_of(rows, 3)
    for project in set(rows.project):
        assert len({fold for fold, p in zip(folds, rows.project, strict=True) if p == project}) == 1
    weights = project_weights(["a"] * 100 + ["b"])
    assert weights[:100].sum() == pytest.approx(10)
    assert weights[100] == 1


def test_solve_finds_coefficients_that_are_never_negative() -> None:
    rng = np.random.default_rng(0)
    phi = rng.uniform(1, 100, (200, 3))
    truth = np.array([2.0, 0.0, 5.0])
    found = solve(phi, phi @ truth, np.ones(200), np.array([1.0, 1.0, 1.0]), 1.0, 0.001)
    assert found == pytest.approx(truth, abs=0.05)
    assert np.all(solve(phi, np.zeros(200), np.ones(200), np.ones(3), 1.0, 0.001) >= 0)


def test_quantiles_leave_no_more_than_the_tail() -> None:
    values = np.arange(100.0)
    assert weighted_quantile(values, np.ones(100), 0.95) == pytest.approx(95, abs=1)
    assert weighted_quantile(values, np.ones(100), 0.05) == pytest.approx(4, abs=1)
    assert weighted_quantile(values[:1], np.ones(1), 0.95) == 0


@pytest.mark.parametrize(("part", "ultra"), [
    ("xc7z020-clg400-1", False), ("7z020clg400-1", False), ("xc7vx690t-ffg1761-2", False),
    ("xcku035-fbva676-2-e", True),
    ("xcu250-figd2104-2L-e", True), ("xczu9eg-ffvb1156-2-e", True), ("xc7a35ticpg236-1L", False),
])  # fmt: skip
def test_the_part_says_the_generation(part: str, ultra: bool) -> None:
    assert is_ultrascale(part) is ultra


# --- the public data, where it is ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def public(shared_data: Path) -> Rows:
    rows = read_rows([shared_data / SYNTHESIS / name for name in ("wa_hls4ml_dense.csv", "hls4ml_layers.csv")])
    return rows.select(~np.broadcast_to(rows.details.serial, (len(rows),)))


@pytest.mark.slow
def test_the_shipped_coefficients_are_what_the_public_data_gives(shared_data: Path, tmp_path: Path) -> None:
    names = ("wa_hls4ml_dense.csv", "hls4ml_layers.csv", "hls4ml_designs.csv", "hls_vs_vivado_pairs.csv")
    fitted = calibrate([shared_data / SYNTHESIS / name for name in names], tmp_path)
    # Another machine's matrix product may round otherwise.
    for regime, targets in shipped().terms.items():
        for target, terms in targets.items():
            assert fitted.terms[regime][target] == pytest.approx(dict(terms), rel=0.01, abs=0.01), (regime, target)
    assert fitted.data == shipped().data


@pytest.mark.slow
def test_the_figures_of_the_model_card_hold_in_cross_validation(public: Rows, shared_data: Path) -> None:
    rows = public.select(~public.failed)
    module = cross_predict(rows)
    one_layer = np.array([p.startswith("dense ") for p in rows.project])
    limits = {"lut": (4, 22), "ff": (8, 46), "bram18": (3, 9), "dsp": (4, 9), "interval": (3, 16), "cycles": (5, 26)}
    for target, (dense, layers) in limits.items():
        reported, predicted = rows.target(target), getattr(module, target)
        assert smape(reported[one_layer], predicted[one_layer]) < dense, target
        assert smape(reported[~one_layer], predicted[~one_layer]) < layers, target
    designs = read_designs(shared_data / SYNTHESIS / "hls4ml_designs.csv", rows)
    assert len(designs) >= 35
    whole = predict_designs(designs, rows, module)
    assert smape(np.array([d.reported[0] for d in designs]), whole[:, 0]) < 20
    inside = bands(rows, module)
    assert set(inside["softmax"]) == set(TARGETS)


def test_all_real_refusals_are_foreseen_and_nothing_else(public: Rows) -> None:
    rows = public.select(np.array([p.startswith("dense ") for p in public.project]))
    foreseen = refused(rows.features())
    assert not np.any(foreseen & ~rows.failed)
    assert np.sum(rows.failed & ~foreseen) == 24  # the interrupted batch, see calibrated_refusals
