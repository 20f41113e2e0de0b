"""From what the user named and asked for to a written HLS project: the part that convert, synth and verify share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flow.errors import InputError

if TYPE_CHECKING:
    from flow.board import Board
    from flow.commands.what import What
    from flow.hls.model import ModelFile
    from flow.hls.project import HlsProject, HlsTarget
    from flow.hls.samples import Samples
    from flow.hls.sizing import Sizing
    from flow.hls.tools import Backend
    from flow.implement.implementation import Implementation
    from flow.network.network import Network
    from flow.network.quantized import QuantizedNetwork
    from flow.resources import Measurement
    from flow.spec import Spec

OUT = Path("build/hls")
TEST_BENCH = 10
"""Samples in the test bench: co-simulation takes minutes for each."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options that say for what and how a project is written."""
    add = parser.add_argument
    add("--board", help="a board's name or a .yaml file (default: the run's; a model file needs one)")
    add("--io", choices=("parallel", "stream"), help="io_parallel or io_stream (default: as found or solved)")
    add(
        "--reuse-factor", action="append", default=[], metavar="N", dest="reuse",
        help="reuse factor of all layers, or LAYER=N of one; may be given again "
        "(default: the winner's, or the cheapest that meets the limits)",
    )  # fmt: skip
    add(
        "--strategy", choices=("latency", "resource"),
        help="with --reuse-factor: hls4ml's strategy (default: latency for 1 where HLS copes with it, else resource)",
    )  # fmt: skip
    add(
        "--fps", type=float, metavar="N",
        help="solve for so many inferences per second (default: the winner's implementation; 1000 for a model file)",
    )  # fmt: skip
    add("--latency", type=float, metavar="US", help="solve for this latency in microseconds (default: no limit)")
    add("--lut", type=float, metavar="N", help="solve within this LUT budget (default: the run's or the board's)")
    add("--clock", type=float, metavar="MHZ", help="clock (default: the winner's, else the board's)")
    add("--argmax", action="store_true", help="rtl: give the index of the largest output instead of all outputs")
    add(
        "--input", metavar="FORMAT",
        help="input format of a model file, as in hls4ml (default: 'ufixed<8,0>', pixels from 0 to below 1)",
    )  # fmt: skip
    add(
        "--float-format", metavar="FORMAT",
        help="round weights without a quantizer to this format, such as 'fixed<16,6>' (default: refuse them)",
    )  # fmt: skip
    add(
        "--data", type=Path, metavar="FILE",
        help="an .npz with samples for the model, in x (default: a winner's validation samples, else random inputs)",
    )  # fmt: skip
    add("--out", type=Path, default=OUT, help="folder for projects of model files (default: %(default)s)")


@dataclass(frozen=True, eq=False)
class Prepared:
    """A written project, and what is known around it.

    ``predicted``: the prediction for just this implementation, None if there is none. ``as_found``: whether it is built
    as the run has it, so that what is measured of it is the winner's. ``spec``: the limits it has to keep;
    ``throughput_asked``: whether anybody asked for its throughput.
    """

    what: What
    board: Board
    target: HlsTarget
    implementation: Implementation
    file: ModelFile
    project: HlsProject
    samples: Samples
    predicted: Measurement | None
    as_found: bool
    spec: Spec
    throughput_asked: bool
    written: bool = field(default=False)
    """Whether it was written now, and not there before."""

    @property
    def network(self) -> QuantizedNetwork:
        """Its integers."""
        return self.project.network


def prepare(what: What, args: argparse.Namespace, backend: Backend, say: Callable[[str], None]) -> Prepared:
    """Write the project of ``what``, or find it written. ``say`` is told what takes time.

    Raises InputError (Unconvertible with every layer that stands in the way), NothingFeasible where no implementation
    meets the limits, ToolError, MissingDependency.
    """
    from flow.hls.model import ModelFile

    if args.argmax:
        raise InputError("--argmax goes with --backend rtl")
    assert what.model is not None
    board = _board(what, args)
    spec, asked = spec_of(what, board, args)
    sizing = _sizing(args)
    file = ModelFile(what.model, input_format_of(what, args), format_of(args.float_format, "--float-format"), say)
    job = _Job(what, args, board, spec, asked, sizing, backend, file)
    quick = file.quick()
    if quick is not None:
        found = job.prepared(quick, None)
        if found is not None:
            return found
    network, model = file.network, file.model
    say("converting with hls4ml")
    made = job.prepared(network, model)
    assert made is not None
    return made


@dataclass(frozen=True, eq=False)
class _Job:
    """What :func:`prepare` has found out before it looks at the network."""

    what: What
    args: argparse.Namespace
    board: Board
    spec: Spec
    throughput_asked: bool
    sizing: Sizing
    backend: Backend
    file: ModelFile

    def prepared(self, network: QuantizedNetwork, model: Any) -> Prepared | None:
        """The project of ``network``; without a ``model`` only one that is written already, else None."""
        from flow.hls.bridge.check import io_problems
        from flow.hls.project import HlsTarget, check_target, find_project, write_project
        from flow.network.quantized_keras import Unconvertible

        what, origin = self.what, self.what.origin
        estimate = self.estimate()
        implementation = self.implementation(network, estimate)
        problems = io_problems(network, implementation.io_type)
        if problems:
            raise Unconvertible(problems)
        target = HlsTarget(self.backend, self.board.part, self.board.hls_uncertainty)
        name, root = self.place()
        check_target(target, name)
        samples = samples_of(what, self.args, network, TEST_BENCH)
        project = find_project(root, network, implementation, target, name, samples.codes)
        written = project is None
        if project is None:
            if model is None:
                return None
            project = write_project(
                model, network, implementation, target, root, name=name, test_inputs=samples.codes,
                test_text=samples.text,
            )  # fmt: skip
        as_found = (
            origin is not None and implementation == origin.implementation and self.board.part == origin.part
        )  # fmt: skip
        predicted = origin.predicted if origin is not None and as_found else self.predict(estimate, implementation)
        return Prepared(what, self.board, target, implementation, self.file, project, samples, predicted, as_found,
                        self.spec, self.throughput_asked, written)  # fmt: skip

    def estimate(self) -> Network | None:
        from flow.network.network import build_network

        origin = self.what.origin
        return self.file.estimate() if origin is None else build_network(origin.candidate)

    def implementation(self, network: QuantizedNetwork, estimate: Network | None) -> Implementation:
        from flow.hls.sizing import implementation_for

        if self.what.origin is None or self.sizing.is_given:
            return implementation_for(network, estimate, self.sizing, self.spec, self.board.family)
        return replace(self.what.origin.implementation, clock_mhz=self.spec.clock_mhz)

    def predict(self, estimate: Network | None, implementation: Implementation) -> Measurement | None:
        from flow.estimate.predict import predict

        if estimate is None:
            return None
        try:
            return predict(estimate, implementation, self.board.part, self.board.family).total
        except InputError:  # the estimate knows fewer layers than the network has
            return None

    def place(self) -> tuple[str, Path]:
        """The project's name, and the folder it goes to."""
        from flow.hls.project import project_name

        assert self.what.model is not None
        if self.what.origin is not None:
            return "network", self.what.model.parent / "hls"
        return project_name(self.what.model.stem), self.args.out


def samples_of(what: What, args: argparse.Namespace, network: QuantizedNetwork, count: int) -> Samples:
    """``count`` samples of ``--data``, the winner's data set, or random ones. Raises InputError, ToolError."""
    from flow.hls.samples import dataset_samples, file_samples, random_samples

    if args.data is not None:
        return file_samples(args.data, network, count)
    if what.origin is None:
        return random_samples(network, count)
    from flow.network.datasets import load_dataset

    data = load_dataset(what.origin.dataset)
    if what.origin.fingerprint not in (None, data.fingerprint):
        raise InputError(
            f"data set {what.origin.dataset} is not what it was when {what.text} was trained: give samples with --data"
        )
    return dataset_samples(data, network, count)


def _board(what: What, args: argparse.Namespace) -> Board:
    from flow.board import list_boards, load_board

    if args.board is None and what.origin is None:
        raise InputError(f"which board is {what.text} for? give --board, known: {', '.join(list_boards())}")
    board = load_board(args.board or (what.origin.board if what.origin else ""))
    if board.toolchain.name == "open":
        raise InputError(
            f"board {board.name} has no AMD part ({board.part}): Vivado HLS and Vitis HLS don't build for it"
        )
    return board


def spec_of(what: What, board: Board, args: argparse.Namespace) -> tuple[Spec, bool]:
    """The limits, and whether somebody asked for a throughput: the run's where it is for this board."""
    from flow.spec import make_spec

    origin = what.origin
    if origin is None:
        return make_spec(board, lut=args.lut, fps=args.fps, latency_us=args.latency, clock_mhz=args.clock), (
            args.fps is not None or not args.reuse
        )
    fps, latency = origin.spec.get("min_throughput_per_s"), origin.spec.get("max_latency_us")
    same = board.part == origin.part
    clock = args.clock or (origin.implementation.clock_mhz if same else origin.spec.get("requested_clock_mhz"))
    spec = make_spec(
        board, lut=args.lut, fps=fps if args.fps is None else args.fps,
        latency_us=latency if args.latency is None else args.latency, clock_mhz=clock,
        bound=origin.spec.get("bound", "upper"),
    )  # fmt: skip
    if same and args.lut is None:
        spec = replace(spec, budget=origin.budget)
    return spec, True


def _sizing(args: argparse.Namespace) -> Sizing:
    from flow.hls.sizing import Sizing, parse_reuse

    limited = any(value is not None for value in (args.fps, args.latency, args.lut))
    io = {None: None, "parallel": "io_parallel", "stream": "io_stream"}[args.io]
    strategy = None if args.strategy is None else args.strategy.capitalize()
    return Sizing(io, strategy, parse_reuse(args.reuse), limited)  # type: ignore[arg-type]


def input_format_of(what: What, args: argparse.Namespace) -> Any:
    """The format of the inputs: the winner's, or what was given for a model file. Raises InputError."""
    from flow.hls.bridge.check import DEFAULT_INPUT

    if what.origin is not None:
        if args.input is not None:
            raise InputError(f"--input is for model files: {what.text} was trained for inputs of {what.input_format}")
        return what.input_format
    return format_of(args.input, "--input") or DEFAULT_INPUT


def format_of(text: str | None, option: str) -> Any:
    """The format that an option was given, None for none. Raises InputError naming the option."""
    from flow.network.fixed import FixedFormat

    try:
        return None if text is None else FixedFormat.parse(text)
    except InputError as error:
        raise InputError(f"{option}: {error}") from error
