"""Parts of random networks, synthesized by Yosys: the samples that prices of generated hardware are fitted to.

    .venv/bin/python benchmarks/rtl_samples.py [--from 0] [--networks 1000] [--jobs 1] [--family xc7]

Each network is a function of its number: layers of random kind, size, format and folding. Results are appended to
flow/rtl/data/samples_FAMILY.csv, a row a part: its facts (``flow.rtl.features``), what it takes, and the digest of its
Verilog, under which equal parts are sampled once. It goes on where it stopped: what the file has for the Verilog that
the generator writes now is not synthesized again. --prune drops rows of Verilog that it does not write any more, and
renews the facts of the others. Needs ``yosys`` or ``pyosys``; a part takes a second or two. Networks
from number 100,000 on have unrolled layers (--kinds unrolled).
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from flow.errors import FlowError
from flow.fileio import write_atomic
from flow.network.fixed import FixedFormat
from flow.network.quantized import Codes, QuantizedNetwork
from flow.network.quantized_assemble import Step, assemble
from flow.rtl.cache import Cache, default_cache, digest_of
from flow.rtl.features import Facts, facts_of
from flow.rtl.folding import Fold, Folding, fold_options, is_folded, unrolled
from flow.rtl.mac import STYLES
from flow.rtl.parts import Part, assemble_parts
from flow.rtl.plan import TOP, BuildPlan, build_plan
from flow.rtl.synth import Synthesizer
from flow.rtl.technology import FAMILIES, technology
from flow.rtl.yosys import Yosys, find_yosys

DATA = Path(__file__).resolve().parent.parent / "flow" / "rtl" / "data"
RESULTS = ("lut", "ff", "bram18", "uram", "dsp")
COLUMNS = ("digest", "network", "part", *Facts("").to_dict(), *RESULTS, "tool", "version")
MOST_MACS = 160
"""Multiply-accumulates a cycle of a sampled layer: larger ones take minutes, and cost in proportion."""
UNROLLED_FROM, MOST_UNROLLED = 100_000, 640
"""Networks from this number on have unrolled layers, of this many weights at most."""


class RandomNetwork:
    """The network and folding of a number."""

    def __init__(self, number: int) -> None:
        self.rng = np.random.default_rng([number, 0x57])
        self.unrolls = number >= UNROLLED_FROM
        self.steps: list[Step] = []

    def pick(self, *choices: Any) -> Any:
        """One of the choices."""
        return choices[int(self.rng.integers(len(choices)))]

    def codes(self, shape: tuple[int, ...]) -> Codes:
        """Weights in a random format."""
        kind = self.pick("fixed", "fixed", "fixed", "fixed", "binary", "ternary")
        if kind == "binary":
            return Codes(self.rng.choice([-1, 1], size=shape), FixedFormat(2, 2), "binary")
        if kind == "ternary":
            return Codes(self.rng.integers(-1, 2, size=shape), FixedFormat(2, 2), "ternary")
        of = FixedFormat(int(self.rng.integers(2, 9)), 1)
        return Codes(self.rng.integers(of.low, of.high, size=shape, endpoint=True), of)

    def bias(self, channels: int) -> Codes | None:
        """Biases, or none."""
        of = FixedFormat(8, 3)
        values = self.rng.integers(of.low, of.high, size=channels, endpoint=True)
        return None if self.rng.random() < 0.2 else Codes(values, of)

    def act(self, x: str, shape: tuple[int, ...]) -> str:
        """An activation behind ``x``."""
        bits, name = int(self.rng.integers(1, 9)), f"{x}_act"
        op: Any = self.pick("relu", "relu", "relu", "quantize", "sign", "ternary")
        fields: dict[str, Any] = {"rounding": self.pick("half_even", "half_even", "toward_zero"), "saturation": "clip"}
        if op == "sign":
            fields = {"format": FixedFormat(2, 2)}
        elif op == "ternary":
            fields = {"format": FixedFormat(2, 2), "threshold": self.pick(0.25, 0.5, 1.0)}
        else:
            fields["format"] = FixedFormat(bits + (op == "quantize"), self.pick(0, 1, 2, 3), signed=op == "quantize")
        self.steps.append(Step(name, op, name, (x,), shape, **fields))
        return name

    def layer(self, x: str, shape: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
        """A layer of the network behind ``x``, and its shape."""
        image = len(shape) == 3
        op: Any = self.pick("conv", "conv", "conv", "depthwise", "maxpool", "avgpool", "add") if image else "dense"
        name, before = f"{op}_{len(self.steps)}", shape[-1]
        if op == "dense":
            out: tuple[int, ...] = (self.pick(4, 8, 10, 16, 24, 32, 64, 96),)
            self.steps.append(
                Step(name, op, name, (x,), out, weight=self.codes((before, *out)), bias=self.bias(out[0]))
            )
            return name, out
        side = min(self.pick(1, 3, 3, 3, 5), shape[0])
        if op == "add":
            pads = ((side - 1) // 2, side - 1 - (side - 1) // 2)
            branch = f"{name}_branch"
            self.steps.append(
                Step(branch, "conv", branch, (x,), shape, weight=self.codes((side, side, before, before)),
                     kernel=(side, side), stride=(1, 1), padding=(pads, pads))
            )  # fmt: skip
            self.steps.append(Step(name, op, name, (x, self.act(branch, shape)), shape))
            return name, shape
        if op in ("maxpool", "avgpool"):
            side = min(self.pick(2, 2, 3), shape[0])
            out = (*((n - side) // side + 1 for n in shape[:-1]), before)
            self.steps.append(Step(name, op, name, (x,), out, kernel=(side, side), stride=(side, side),
                                   padding=((0, 0), (0, 0))))  # fmt: skip
            return name, out
        stride, same = self.pick(1, 1, 1, 2), self.rng.random() < 0.7
        total = [max((-(-n // stride) - 1) * stride + side - n, 0) if same else 0 for n in shape[:-1]]
        size = tuple((n + t - side) // stride + 1 for n, t in zip(shape[:-1], total, strict=True))
        channels = before if op == "depthwise" else self.pick(4, 8, 8, 16, 16, 24, 32, 64)
        inner = (before,) if op == "depthwise" else (before, channels)
        self.steps.append(
            Step(name, op, name, (x,), (*size, channels), weight=self.codes((side, side, *inner)),
                 bias=self.bias(channels), kernel=(side, side), stride=(stride, stride),
                 padding=tuple((t // 2, t - t // 2) for t in total))
        )  # fmt: skip
        return name, (*size, channels)

    def network(self) -> QuantizedNetwork:
        """A network of one or two layers, each with an activation."""
        image = self.rng.random() < 0.75
        channels = self.pick(1, 3, 4, 8, 8, 16, 16, 32, 64)
        side = self.pick(6, 8, 12, 16, 28, 32)
        shape: tuple[int, ...] = (side, side, channels) if image else (self.pick(16, 32, 64, 128, 256),)
        of = FixedFormat(int(self.rng.integers(1, 9)), 1, signed=bool(self.rng.random() < 0.3))
        of = FixedFormat(max(of.width, 2), 1) if of.signed else of
        x, start = "image", shape
        for _ in range(self.pick(1, 2)):
            x, shape = self.layer(x, shape)
            x = self.act(x, shape)
        return assemble("image", start, of, self.steps)

    def folding(self, network: QuantizedNetwork) -> Folding:
        """Widths spread evenly over their logarithm, so that wide ones are as frequent as narrow ones."""
        folds = {}
        for layer in network:
            if not is_folded(layer):
                continue
            if self.unrolls and layer.weight is not None and layer.weight.values.size <= MOST_UNROLLED:
                folds[layer.name] = unrolled(layer)
                continue
            options = [f for f in fold_options(layer) if f.engine == "folded" and f.macs <= MOST_MACS]
            aim = self.rng.uniform(0, np.log2(max(f.macs for f in options) + 1))
            near = sorted(options, key=lambda f: abs(np.log2(f.macs) - aim))[:4]
            fold = near[int(self.rng.integers(len(near)))]
            folds[layer.name] = Fold(fold.outputs, fold.inputs, self.pick("planes", *STYLES))
        lanes = [n for n in range(1, network.input_shape[-1] + 1) if network.input_shape[-1] % n == 0]
        return Folding(folds, self.pick(*lanes[:6]))


def random_plan(number: int) -> BuildPlan | None:
    """The design of a number, None if it can't be built."""
    maker = RandomNetwork(number)
    try:
        network = maker.network()
        return build_plan(network, maker.folding(network))
    except FlowError:
        return None


def part_digest(part: Part, plan: BuildPlan) -> str:
    """A digest of what is synthesized."""
    parameters = [f"{name}={value}" for name, value in part.parameters.items()]
    return digest_of(part.module, *parameters, *(t for path in part.files for t in (path, plan.files[path])))


def rows_of(
    number: int, known: set[str], worker: Synthesizer, tool: Yosys, kinds: frozenset[str]
) -> Iterator[dict[str, Any]]:
    """A row for each part of a network that is not ``known``; of all ``kinds`` if none is named."""
    plan = random_plan(number)
    if plan is None:
        return
    facts = facts_of(plan.design, plan.schedule)
    for part in assemble_parts(plan.files, TOP, tool, worker.cache).parts:
        digest = part_digest(part, plan)
        if digest in known or (kinds and facts[part.name].kind not in kinds):
            continue
        known.add(digest)
        try:
            found, _ = worker.part(part, plan.files)
        except FlowError as error:
            print(f"network {number}, {part.name}: {error}", file=sys.stderr)
            continue
        used = {name: amount for name, amount in found.resources if name in RESULTS}
        yield {"digest": digest, "network": number, "part": part.name, **facts[part.name].to_dict(), **used,
               "tool": tool.kind, "version": tool.version}  # fmt: skip


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a samples file whose columns are today's; none of another."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        return [row for row in reader if None not in row.values()] if reader.fieldnames == list(COLUMNS) else []


def write_rows(path: Path, rows: list[dict[str, str]]) -> None:
    """Write a samples file."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(path, text.getvalue())


def prune(path: Path, tool: Yosys, cache: Cache) -> None:
    """Drop what the generator does not write any more, and bring the facts of the rest up to date."""
    rows, current = read_rows(path), {}
    for number in sorted({int(row["network"]) for row in rows}):
        plan = random_plan(number)
        if plan is not None:
            facts = facts_of(plan.design, plan.schedule)
            for part in assemble_parts(plan.files, TOP, tool, cache).parts:
                current[part_digest(part, plan)] = facts[part.name]
    kept = [{**row, **current[row["digest"]].to_dict()} for row in rows if row["digest"] in current]
    write_rows(path, kept)
    print(f"{len(rows) - len(kept)} of {len(rows)} rows dropped")


def main() -> None:
    """Synthesize what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", type=int, default=0, dest="first")
    parser.add_argument("--networks", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--family", choices=FAMILIES, default="xc7")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after this time")
    parser.add_argument("--kinds", default="", help="kinds of parts, such as mac,lanes (default: all)")
    parser.add_argument(
        "--prune",
        action="store_true",
        help="only drop rows of Verilog not written any more, and renew the facts of the others",
    )
    args = parser.parse_args()
    tool, cache = find_yosys(), Cache(default_cache())
    path = DATA / f"samples_{args.family}.csv"
    if args.prune:
        prune(path, tool, cache)
        return
    kinds = frozenset(filter(None, args.kinds.split(",")))
    rows = read_rows(path)
    known = {row["digest"] for row in rows}
    worker = Synthesizer(technology(args.family), False, tool, cache)
    end, before = time.monotonic() + 60 * args.minutes, len(rows)
    path.parent.mkdir(exist_ok=True)
    write_rows(path, rows)
    with ThreadPoolExecutor(args.jobs) as pool, path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")

        def one(number: int) -> list[dict[str, Any]]:
            return list(rows_of(number, known, worker, tool, kinds)) if time.monotonic() < end else []

        for found in pool.map(one, range(args.first, args.first + args.networks)):
            writer.writerows(found)
            file.flush()
            os.fsync(file.fileno())
            before += len(found)
    print(f"{path.name}: {before} parts")


if __name__ == "__main__":
    main()
