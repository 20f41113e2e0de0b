"""The calibrated predictor beside rule4ml on the same rows, in the same run: accuracy and speed, as Markdown.

    python benchmarks/predictor_vs_rule4ml.py [DATA] [--venv FOLDER]

DATA holds ``synthesis/`` (default: ../shared/data beside the clone). rule4ml is GPL-3.0 and brings TensorFlow and
PyTorch: it is installed into a throwaway environment of its own (several GB, minutes), or into FOLDER, which is kept
and used again. Without it nothing is compared, and the exit code is 3.

Ours is judged in cross-validation, as in ``predictor_crossval.py``: rows are predicted by coefficients that were fitted
without their project, or without their (inputs, outputs) shape. rule4ml has been trained on data of its own (public as
fastmachinelearning/wa-hls4ml): whether some of these rows are in it is not known. It takes half an hour.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

DEFAULT = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
TARGETS = ("lut", "ff", "bram18", "dsp", "cycles", "interval")
HEADS = {"lut": "LUT", "ff": "FF", "bram18": "BRAM18", "dsp": "DSP", "cycles": "latency", "interval": "II"}
THEIRS = {"LUT": "lut", "FF": "ff", "BRAM": "bram18", "DSP": "dsp", "CYCLES": "cycles", "INTERVAL": "interval"}
BOARDS = {
    "xc7z": "pynq-z2",
    "xczu9eg": "zcu102",
    "xcvu9p": "alveo-u200",
    "xcu200": "alveo-u200",
    "xcu250": "alveo-u250",
}
"""rule4ml's boards by the beginning of a part: those of the same family stand in, as it knows four boards only."""
SPEED = (16, 64, 32, 32, 5)
"""Layer sizes of the network that speed is measured on: the jet tagger of hls4ml's first paper."""
BATCH = 512


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", nargs="?", type=Path, default=DEFAULT, help="folder with synthesis/")
    parser.add_argument("--venv", type=Path, help="environment with rule4ml, made if it is not there, and kept")
    parser.add_argument("--child", nargs=2, metavar=("JOBS", "ANSWERS"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        return child(Path(args.child[0]), Path(args.child[1]))
    with tempfile.TemporaryDirectory() as folder:
        python = installed(args.venv or Path(folder) / "venv")
        if python is None:
            print("rule4ml cannot be installed: nothing is compared", file=sys.stderr)
            return 3
        return compare(args.data / "synthesis", python, Path(folder))


def installed(folder: Path) -> Path | None:
    """The Python of an environment with rule4ml; None if it can't be installed."""
    python = folder / "bin" / "python"
    check = [str(python), "-c", "import importlib.metadata as m; m.version('rule4ml')"]
    if python.exists() and subprocess.run(check, capture_output=True, check=False).returncode == 0:
        return python
    print("installing rule4ml (several GB)", file=sys.stderr)
    venv.create(folder, with_pip=True)
    done = subprocess.run([str(python), "-m", "pip", "install", "-q", "rule4ml"], check=False)
    return python if done.returncode == 0 else None


# --- rule4ml, in its own environment --------------------------------------------------------------------------------


def child(jobs: Path, answers: Path) -> int:
    """Predict ``jobs`` with rule4ml and time it. Nothing of ours is imported here."""
    os.environ.update(CUDA_VISIBLE_DEVICES="-1", TF_CPP_MIN_LOG_LEVEL="3")
    started = time.process_time()
    # PyTorch before TensorFlow: the other way round the two crash in one process.
    torch = import_module("torch")
    import_module("torch_geometric")
    torch.set_num_threads(1)
    keras = import_module("keras")
    wrappers = import_module("rule4ml.models.wrappers")
    default = wrappers.MultiModelWrapper()
    default.load_default_models()
    loaded = time.process_time() - started
    estimators = {"default (GNN)": (default, True), "MLP": (mlp(wrappers), False)}

    def network(sizes: list[int], activations: list[str]) -> Any:
        layers: list[Any] = [keras.layers.Input((sizes[0],))]
        for size, activation in zip(sizes[1:], activations, strict=True):
            layers.append(keras.layers.Dense(size))
            layers += [keras.layers.Activation(activation)] if activation else []
        model = keras.Sequential(layers)
        model.build((None, sizes[0]))
        return model

    def predict(name: str, model: Any, configs: list[dict[str, Any]], vivado: str) -> list[dict[str, Any]]:
        wrapper, versions = estimators[name]
        told = {"hls4ml_versions": "0.8.1", "vivado_versions": vivado} if versions else {}
        found: list[dict[str, Any]] = wrapper.predict(model, hls_configs=configs, **told).to_dict("records")
        return found

    work = json.loads(jobs.read_text())
    models: dict[str, Any] = {}
    results: dict[str, list[dict[str, float]]] = {name: [] for name in estimators}
    for job in work["jobs"]:
        key = json.dumps([job["sizes"], job["activations"]])
        model = models.setdefault(key, None) or network(job["sizes"], job["activations"])
        models[key] = model
        for name in estimators:
            # One at a time: the default's answers depend on what else is in the batch.
            (row,) = predict(name, model, [job["config"]], job["vivado"])
            results[name].append({ours: max(float(row[theirs]), 0.0) for theirs, ours in THEIRS.items()})

    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    model = network(work["speed"], ["relu"] * (len(work["speed"]) - 2) + [""])
    several = [
        {"board": "pynq-z2", "model": {"strategy": "Resource", "precision": "ap_fixed<8, 3>", "reuse_factor": 1 + n}}
        for n in range(BATCH)
    ]
    speed = {}
    for name in estimators:
        predict(name, model, several[:1], "2020.1")
        begin = time.process_time()
        for _ in range(10):
            predict(name, model, several[:1], "2020.1")
        single = (time.process_time() - begin) / 10
        begin = time.process_time()
        predict(name, model, several, "2020.1")
        speed[name] = [single, (time.process_time() - begin) / BATCH]
    versions = {name: version(name) for name in ("rule4ml", "torch", "tensorflow", "keras")}
    answers.write_text(json.dumps({"results": results, "speed": speed, "loaded": loaded, "versions": versions}))
    return 0


def mlp(wrappers: Any) -> Any:
    """The other estimators that rule4ml ships for the same versions of the tools: multilayer perceptrons."""
    folder = Path(wrappers.__file__).parent / "weights" / "v2" / "mlp"
    several = wrappers.MultiModelWrapper()
    for target in THEIRS:
        one = wrappers.KerasModelWrapper()
        one.load(str(folder / f"{target}.config.json"), str(folder / f"{target}.weights.h5"))
        several.add_model_wrapper(one)
    return several


def asked(python: Path, folder: Path, jobs: list[dict[str, Any]]) -> dict[str, Any]:
    """What rule4ml answers. Raises SystemExit if it fails."""
    there, back = folder / "jobs.json", folder / "answers.json"
    there.write_text(json.dumps({"jobs": jobs, "speed": list(SPEED)}))
    argv = [str(python), str(Path(__file__).resolve()), "--child", str(there), str(back)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0 or not back.exists():
        print("\n".join(done.stderr.splitlines()[-20:]), file=sys.stderr)
        raise SystemExit(f"rule4ml failed with status {done.returncode}")
    answer: dict[str, Any] = json.loads(back.read_text())
    return answer


# --- the rows, and ours ---------------------------------------------------------------------------------------------


def compare(folder: Path, python: Path, scratch: Path) -> int:
    import numpy as np

    import flow.estimate.calibration as calibration
    from flow import __version__
    from flow.estimate.calibration_data import read_rows
    from flow.estimate.calibration_designs import predict_designs, read_designs

    everything = read_rows([folder / "wa_hls4ml_dense.csv", folder / "hls4ml_layers.csv"])
    serial = np.broadcast_to(everything.details.serial, (len(everything),)).astype(bool)
    rows = everything.select(~everything.failed & ~serial)
    module = calibration.cross_predict(rows)
    layers = [i for i, project in enumerate(rows.project) if project.startswith("dense ")]
    designs = read_designs(folder / "hls4ml_designs.csv", rows)
    jobs: list[dict[str, Any]] = []
    for bits in ("own", "16"):
        jobs += [layer_job(rows, i, bits) for i in layers]
    chosen = [(d, job) for d in designs if (job := design_job(rows, d, parts(folder))) is not None]
    jobs += [job for _, job in chosen]
    answer = asked(python, scratch, jobs)
    found = answer["results"]

    def column(results: list[dict[str, float]]) -> dict[str, Any]:
        return {t: np.array([r[t] for r in results]) for t in TARGETS}

    count = len(layers)
    lines = {"flow": {t: getattr(module, t)[layers] for t in TARGETS}}
    for name, results in found.items():
        lines[f"rule4ml {name}, precision of the weights"] = column(results[:count])
        lines[f"rule4ml {name}, ap_fixed<16, 6>"] = column(results[count : 2 * count])
    versions = ", ".join(f"{name} {number}" for name, number in answer["versions"].items())
    print(f"flow {__version__} (cross-validated) and {versions}\n")
    reported = {t: rows.target(t)[layers] for t in TARGETS}
    table(f"One-layer designs: SMAPE in %, {count} runs of Vivado HLS 2020.1, xcu250", lines, reported)
    summed = predict_designs([d for d, _ in chosen], rows, module)
    order = ("lut", "ff", "bram18", "dsp", "interval", "cycles")
    lines = {"flow": {t: summed[:, order.index(t)] for t in TARGETS}}
    lines |= {f"rule4ml {name}": column(results[2 * count :]) for name, results in found.items()}
    reported = {t: np.array([d.reported[order.index(t)] for d, _ in chosen]) for t in TARGETS}
    table(f"Whole multilayer perceptrons: SMAPE in %, {len(chosen)} designs of public projects", lines, reported)
    print_speed(answer)
    return 0


def layer_job(rows: Any, i: int, bits: str) -> dict[str, Any]:
    """A one-layer design for rule4ml."""
    width = int(rows.table.w_width[i])
    return {
        "sizes": [int(rows.table.in_c[i]), int(rows.table.out_c[i])],
        "activations": [""],
        "vivado": "2020.1",
        "config": config("alveo-u250", rows, i, f"ap_fixed<{width}, 1>" if bits == "own" else "ap_fixed<16, 6>"),
    }


def config(board: str, rows: Any, i: int, precision: str) -> dict[str, Any]:
    strategy = "Latency" if rows.latency[i] else "Resource"
    reuse = int(rows.reuse[i])
    return {"board": board, "model": {"strategy": strategy, "precision": precision, "reuse_factor": reuse}}


def parts(folder: Path) -> dict[str, str]:
    """The part of each whole design, by its name."""
    import csv

    from flow.estimate.calibration_data import run_of

    with (folder / "hls4ml_designs.csv").open(newline="", encoding="utf-8") as file:
        return {run_of(record): record["part"] for record in csv.DictReader(file)}


def design_job(rows: Any, design: Any, part_of: dict[str, str]) -> dict[str, Any] | None:
    """A multilayer perceptron for rule4ml; None for designs that it has no words for.

    Those are other layers, one precision a layer, parts of other families, and designs without DSPs by a pragma.
    """
    import numpy as np

    from flow.estimate.features import CODE

    table, index = rows.table, list(design.rows)
    names = {code: name for name, code in CODE.items()}
    if any(names[int(table.op[i])] not in ("dense", "activation", "softmax") for i in index):
        return None
    part = part_of.get(design.name, "")
    board = next((b for start, b in BOARDS.items() if part.startswith(start)), None)
    dense = sorted((i for i in index if names[int(table.op[i])] == "dense"), key=lambda i: chain_order(rows.layer[i]))
    sizes = [int(table.in_c[dense[0]]), *(int(table.out_c[i]) for i in dense)]
    chained = all(int(table.in_c[b]) == int(table.out_c[a]) for a, b in itertools.pairwise(dense))
    alike = len({(int(table.w_width[i]), int(rows.reuse[i]), bool(rows.latency[i])) for i in dense}) == 1
    with_dsps = bool(np.broadcast_to(rows.details.use_dsp, (len(rows),))[dense[0]])
    if board is None or not chained or not alike or not with_dsps:
        return None
    soft = any(names[int(table.op[i])] == "softmax" for i in index)
    activations = ["relu"] * (len(dense) - 1) + ["softmax" if soft else ""]
    precision = f"ap_fixed<{int(table.w_width[dense[0]])}, 1>"
    return {"sizes": sizes, "activations": activations, "vivado": rows.version[dense[0]],
            "config": config(board, rows, dense[0], precision)}  # fmt: skip


def chain_order(name: str) -> tuple[bool, str]:
    """fc1, fc2, ..., output."""
    return name.startswith("output"), name


def smape(reported: Any, predicted: Any) -> float:
    """Mean of |p - r| / ((|p| + |r|) / 2) in percent, 0 where both are 0."""
    import numpy as np

    known = np.isfinite(reported)
    r, p = reported[known], predicted[known]
    both = np.abs(r) + np.abs(p)
    return float(200 * np.mean(np.abs(p - r) / np.where(both > 0, both, 1)))


def table(title: str, predicted: dict[str, dict[str, Any]], reported: dict[str, Any]) -> None:
    print(f"### {title}\n")
    print("| | " + " | ".join(HEADS[t] for t in TARGETS) + " |")
    print("|---" * (1 + len(TARGETS)) + "|")
    for name, values in predicted.items():
        print(f"| {name} | " + " | ".join(f"{smape(reported[t], values[t]):.1f}" for t in TARGETS) + " |")
    print()


def print_speed(answer: dict[str, Any]) -> None:
    """Processor time on one core, of the jet tagger with LUT, FF, BRAM18, DSP, cycles and intervals of all of them."""
    import numpy as np

    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    from dataclasses import replace

    from flow.estimate.calibrated import CALIBRATED
    from flow.estimate.predict import predict
    from flow.estimate.table import table_of
    from flow.implement.implementation import Implementation, LayerImplementation
    from flow.network.fixed import FixedFormat, WeightFormat
    from flow.network.network import build_network
    from flow.space.candidate import Candidate, LayerChoice

    weight, relu = WeightFormat.parse("fixed<8,3>"), FixedFormat(8, 3, signed=False)
    blocks = tuple(LayerChoice("dense", units, weight, relu) for units in SPEED[1:-1])
    network = build_network(Candidate((SPEED[0],), FixedFormat(8, 3), SPEED[-1], blocks, weight))
    names = [layer for layer in network if layer.weight is not None]
    implementation = Implementation("io_parallel", 200.0, tuple(
        LayerImplementation(layer.name, layer.fan_in, "Resource") for layer in names))  # fmt: skip
    run = [network, implementation, "xc7z020clg400-1", "zynq7"]
    predict(*run)  # type: ignore[arg-type]
    begin = time.process_time()
    for _ in range(200):
        predict(*run)  # type: ignore[arg-type]
    single = (time.process_time() - begin) / 200
    many = 8 * BATCH
    rows = table_of([replace(network) for _ in range(many)])
    reuse = np.where(rows.is_weight, rows.fan_in, 0)
    stream = np.zeros(len(rows), dtype=bool)
    begin = time.process_time()
    for _ in range(5):
        estimate = CALIBRATED.rows(rows, reuse, stream, stream, "zynq7")
        CALIBRATED.bounds(rows, reuse, stream, stream, "zynq7", estimate)
    batch = (time.process_time() - begin) / 5 / many
    print("### Predictions of whole networks a second, one core\n")
    print(f"{'-'.join(map(str, SPEED))}, processor time; ours with the 90% intervals of all amounts.\n")
    print("| | one at a time | in a batch | loading |")
    print("|---|---|---|---|")
    print(f"| flow | {1 / single:,.0f} ({1e3 * single:.2f} ms) | {1 / batch:,.0f} | - |")
    for name, (theirs, theirs_batch) in answer["speed"].items():
        print(f"| rule4ml {name} | {1 / theirs:,.1f} ({1e3 * theirs:.0f} ms) | {1 / theirs_batch:,.0f} | "
              f"{answer['loaded']:.1f} s |")  # fmt: skip
        print(f"| ratio to it | {theirs / single:,.0f} | {theirs_batch / batch:,.0f} | |")


if __name__ == "__main__":
    sys.exit(main())
