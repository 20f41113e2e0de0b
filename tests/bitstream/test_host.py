"""The program on the board's side: what it packs, and what it does when the hardware does not answer."""

from __future__ import annotations

import ast
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow.bitstream.host import load
from flow.bitstream.host.codec import Side
from flow.bitstream.layout import aligned, dense
from flow.bitstream.make import Options, plan_bitstream
from flow.network.datasets.prepare import quantize
from flow.network.datasets.types import Dataset, DatasetInfo
from flow.network.fixed import FixedFormat
from flow.network.quantized_reference import decode, encode, forward
from flow.rtl.design import Stream
from flow.rtl.simulate import to_words
from tests.bitstream.builder import plan_for, subject
from tests.rtl.builder import conv_network, dense_network

HOST = Path(__file__).resolve().parents[2] / "flow" / "bitstream" / "host"


def side(layout: Any) -> Side:
    return Side.from_dict(layout.to_dict())


@given(st.integers(1, 20), st.booleans(), st.integers(1, 5), st.integers(1, 4), st.sampled_from([aligned, dense]))
@settings(max_examples=60, deadline=None)
def test_what_is_packed_is_unpacked_again(width: int, signed: bool, lanes: int, beats: int, layout: Any) -> None:
    of = FixedFormat(width, 1, signed)
    found = side(layout((beats * lanes,), of, lanes))
    codes = np.random.default_rng(0).integers(of.low, of.high, size=(3, beats * lanes), endpoint=True)
    packed = found.pack(codes)
    assert packed.shape == (3, found.bytes)
    assert np.array_equal(found.unpack(packed), codes)


def test_dense_bytes_are_the_beats_the_hardware_takes() -> None:
    of = FixedFormat(5, 1)
    codes = np.arange(-12, 12).reshape(2, 12)
    packed = side(dense((12,), of, 3)).pack(codes)
    words = to_words(codes, Stream(1, 12, 3, of))  # 15 bits a beat, in a word of 32
    assert np.array_equal(packed.reshape(-1).view("<u2"), words.astype("<u2"))


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20), st.integers(2, 16), st.integers(-2, 8))
@settings(max_examples=60, deadline=None)
def test_an_input_is_rounded_exactly_as_in_training(values: list[float], width: int, integer: int) -> None:
    of = FixedFormat(width, integer)
    raw = np.array(values).reshape(1, -1)
    found = side(aligned((len(values),), of, 1))
    trained = quantize(raw, of, np.zeros(1), np.ones(1))
    assert np.array_equal(found.encode(raw), encode(trained, of))
    assert np.array_equal(found.decode(found.encode(raw)), decode(encode(trained, of), of))


def test_wrong_codes_are_refused() -> None:
    found = side(aligned((4,), FixedFormat(4, 0, signed=False), 1))
    with pytest.raises(ValueError, match="whole numbers of shape"):
        found.pack(np.zeros((1, 5), np.int64))
    with pytest.raises(ValueError, match="from 0 to 15"):
        found.pack(np.full((1, 4), 16))
    with pytest.raises(ValueError, match="NaN"):
        found.encode(np.array([float("nan")]))


# A PYNQ without a board: it computes what the network computes, or does not answer


class FakeBoard:
    """What the modules pynq offers, around the integer reference."""

    def __init__(self, folder: Path, fault: str = "") -> None:
        self.fault, self.loads, self.transfers = fault, 0, 0
        design = json.loads((folder / "design.json").read_text(encoding="utf-8"))
        self.input, self.output = Side.from_dict(design["input"]), Side.from_dict(design["output"])
        self.clock_mhz = design["clock_mhz"]
        self.network = conv_network()
        self.sent: Any = None
        self.freed = 0

    def module(self) -> ModuleType:
        board = self

        class Buffer(np.ndarray):
            def freebuffer(self) -> None:
                board.freed += 1

        class Channel:
            def __init__(self, receive: bool) -> None:
                self.receive, self.buffer = receive, None

            def transfer(self, buffer: Any) -> None:
                self.buffer = buffer
                if not self.receive:
                    board.run(buffer)

            @property
            def idle(self) -> bool:
                return board.fault != "hang"

            @property
            def error(self) -> bool:
                return board.fault == "error"

            def wait(self) -> None:
                assert self.idle, "waited for a transfer that has not ended"

        class Overlay:
            def __init__(self, path: str) -> None:
                assert Path(path).is_file()
                assert Path(path).with_suffix(".hwh").is_file()
                self.download()
                name = "dma" if board.fault != "other" else "video"
                self.ip_dict = {name: {"type": "xilinx.com:ip:axi_dma:7.1"}}
                board.receive, board.send = Channel(True), Channel(False)  # type: ignore[attr-defined]
                self.dma = SimpleNamespace(recvchannel=board.receive, sendchannel=board.send)  # type: ignore[attr-defined]

            def download(self) -> None:
                board.loads += 1

        module: Any = ModuleType("pynq")
        module.Overlay = Overlay
        module.allocate = lambda shape, dtype: np.zeros(shape, dtype).view(Buffer)
        module.Clocks = SimpleNamespace(fclk0_mhz=self.clock_mhz * (2 if self.fault == "clock" else 1))
        return module  # type: ignore[no-any-return]

    def run(self, sent: Any) -> None:
        self.transfers += 1
        codes = self.input.unpack(np.asarray(sent))
        result = self.output.pack(forward(self.network, codes))
        if self.fault == "bit":
            result[0, 0] ^= 1
        self.receive.buffer[:] = result.reshape(-1)  # type: ignore[attr-defined]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder that goes to a PYNQ-Z2, with a bitstream in it."""
    plan, _ = plan_for("pynq-z2", conv_network())
    plan.write(tmp_path)
    for suffix in ("bit", "hwh"):
        (tmp_path / "board" / f"{plan.stem}.{suffix}").write_text("x", encoding="ascii")
    return tmp_path / "board"


def on_board(folder: Path, monkeypatch: pytest.MonkeyPatch, fault: str = "") -> FakeBoard:
    board = FakeBoard(folder, fault)
    monkeypatch.setitem(sys.modules, "pynq", board.module())
    return board


def test_the_test_vectors_come_out_right(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    board = on_board(folder, monkeypatch)
    net = load(folder)
    check = net.check(batch=30)
    assert (check.images, check.wrong) == (64, 0)
    assert board.transfers == 3  # 30 + 30 + 4
    assert check.images_per_s > 0
    assert check.accuracy is None
    net.close()
    assert board.freed == 4, "every buffer is given back: two sizes, two sides"


def test_a_wrong_bit_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_board(folder, monkeypatch, "bit")
    assert load(folder).check(batch=64).wrong == 1


def test_predictions_are_those_of_the_network(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_board(folder, monkeypatch)
    net, network = load(folder), conv_network()
    x = np.random.default_rng(1).uniform(-0.2, 1.2, size=(5, *network.input_shape))
    expected = decode(forward(network, encode(x, network.input_format)), network.output_format)
    assert np.array_equal(net.predict(x), expected)
    assert np.array_equal(net.classify(x), expected.reshape(5, -1).argmax(axis=1))
    assert net.predict(x[:0]).shape == (0, *network.output_shape)


def test_hardware_that_hangs_is_a_timeout_and_can_be_reset(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    board = on_board(folder, monkeypatch, "hang")
    net = load(folder, timeout_s=0.05)
    with pytest.raises(TimeoutError, match=r"64 inferences were not done within 0.05 s: sending not done"):
        net.check()
    net.reset()
    assert board.loads == 2
    board.fault = ""
    assert net.check().wrong == 0


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("error", "the DMA reports an error"),
        ("clock", "the board's clock is 200 MHz"),
        ("other", "no DMA called 'dma'"),
    ],
)
def test_what_is_wrong_is_said(folder: Path, fault: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    board = on_board(folder, monkeypatch, fault)
    if fault == "error":
        net = load(folder)
        monkeypatch.setattr(type(board.receive), "idle", False)  # type: ignore[attr-defined]
        with pytest.raises(RuntimeError, match=message):
            net.check()
    else:
        with pytest.raises(RuntimeError, match=message):
            load(folder)


def test_a_folder_without_its_hwh_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_board(folder, monkeypatch)
    next(folder.glob("*.hwh")).unlink()
    with pytest.raises(FileNotFoundError, match=r"\.bit and \.hwh belong together"):
        load(folder)


def test_another_bitstream_than_the_manifests_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_board(folder, monkeypatch)
    bit = next(folder.glob("*.bit"))
    (folder / "manifest.json").write_text(json.dumps({"files": {bit.name: "0" * 64}}), encoding="utf-8")
    with pytest.raises(RuntimeError, match="not the file that manifest"):
        load(folder)


def labelled() -> tuple[Dataset, Any]:
    """A data set of 40 made-up images whose labels are what the network says, but for two; and its raw test images."""
    network, rng = conv_network(), np.random.default_rng(3)
    offset, scale = np.array([10.0, -3.0]), np.array([1 / 200, 1 / 7])  # of each channel
    raw = rng.uniform(-50, 300, size=(40, *network.input_shape))
    x = quantize(raw, network.input_format, offset, scale)
    labels = forward(network, encode(x, network.input_format)).reshape(40, -1).argmax(axis=1)
    labels[:2] = (labels[:2] + 1) % 3
    names = ("a", "b", "c")
    info = DatasetInfo("made-up", "Made up", network.input_shape, 3, network.input_format, names, "", "", "")
    return Dataset(info, x, labels, x, labels, x, labels, offset, scale, "0"), raw


def test_raw_samples_become_what_training_saw_and_accuracy_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, raw = labelled()
    plan, _ = plan_bitstream(subject("pynq-z2", conv_network(), dataset=dataset), Options(backend="rtl"))
    plan.write(tmp_path)
    for suffix in ("bit", "hwh"):
        (tmp_path / "board" / f"{plan.stem}.{suffix}").write_text("x", encoding="ascii")
    on_board(tmp_path / "board", monkeypatch)
    net = load(tmp_path / "board")
    assert np.array_equal(net.input.encode(net.prepare(raw)), encode(dataset.x_test, dataset.info.input_format))
    assert (net.classify(net.prepare(raw)) == dataset.y_test).sum() == 38
    check = net.check()
    assert (check.images, check.wrong, check.accuracy, check.expected_accuracy) == (40, 0, 0.95, 0.95)
    monkeypatch.chdir(tmp_path / "board")
    monkeypatch.syspath_prepend(str(tmp_path / "board"))
    assert "accuracy 0.9500 (expected 0.9500)" in run_notebook(tmp_path / "board")


def run_notebook(folder: Path) -> str:
    """What the cells of the notebook print, run one after another in the current folder."""
    namespace: dict[str, Any] = {}
    said = io.StringIO()
    with redirect_stdout(said):
        for code in cells(next(folder.glob("*.ipynb"))):
            exec(compile(code, "cell", "exec"), namespace)  # noqa: S102 - the notebook is ours
    for name in [name for name in sys.modules if name.startswith("flow_host")]:
        del sys.modules[name]
    return said.getvalue()


def cells(path: Path) -> Iterator[str]:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            yield "".join(cell["source"])


def test_the_notebook_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_board(folder, monkeypatch)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    said = run_notebook(folder)
    assert "64 of 64 results are bit for bit what they must be" in said
    assert "images/s" in said


def test_the_notebook_stops_at_a_wrong_bit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_board(folder, monkeypatch, "bit")
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    with pytest.raises(AssertionError, match="does not compute what the network does"):
        run_notebook(folder)


# An Alveo card that is not there


class FakeCard:
    """What the module pyxrt offers, around the integer reference; ``fault``: the receiver never ends."""

    def __init__(self, folder: Path, fault: bool = False) -> None:
        design = json.loads((folder / "design.json").read_text(encoding="utf-8"))
        self.input, self.output = Side.from_dict(design["input"]), Side.from_dict(design["output"])
        self.fault, self.sent, self.loads = fault, np.zeros(0, np.uint8), 0

    def module(self) -> ModuleType:
        card = self

        class Buffer:
            normal = 0

            def __init__(self, device: Any, size: int, flags: int, group: int) -> None:
                self.data = np.zeros(size, np.uint8)

            def write(self, data: Any, offset: int) -> None:
                self.data[offset : offset + len(data)] = data

            def read(self, size: int, offset: int) -> Any:
                return self.data[offset : offset + size].view(np.int8)

            def sync(self, direction: int, size: int, offset: int) -> None:
                assert size == len(self.data)

        class Run:
            def __init__(self, name: str, memory: Buffer) -> None:
                self.name, self.memory = name, memory

            def wait(self, timeout_ms: int) -> str:
                if self.name == "flow_receive":
                    if card.fault:
                        return "timeout"
                    codes = card.input.unpack(card.sent)
                    self.memory.data[:] = card.output.pack(forward(conv_network(), codes)).reshape(-1)
                else:
                    card.sent = self.memory.data
                return "completed"

        class Kernel:
            exclusive = 1

            def __init__(self, device: Any, loaded: Any, name: str, access: int) -> None:
                self.name = name

            def group_id(self, argument: int) -> int:
                return argument

            def __call__(self, memory: Buffer, size: int) -> Run:
                assert size == len(memory.data)
                return Run(self.name, memory)

        class Device:
            def __init__(self, number: int) -> None:
                card.loads += 1

            def load_xclbin(self, image: str) -> str:
                return image

        module: Any = ModuleType("pyxrt")
        module.device, module.kernel, module.bo, module.xclbin = Device, Kernel, Buffer, str
        module.ert_cmd_state = SimpleNamespace(ERT_CMD_STATE_COMPLETED="completed")
        module.xclBOSyncDirection = SimpleNamespace(XCL_BO_SYNC_BO_TO_DEVICE=0, XCL_BO_SYNC_BO_FROM_DEVICE=1)
        return module  # type: ignore[no-any-return]


def test_a_card_gives_the_results_or_a_timeout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, _ = plan_for("alveo-u50", conv_network())
    plan.write(tmp_path)
    folder = tmp_path / "board"
    with pytest.raises(FileNotFoundError, match=r"\.xclbin is missing: it is what link\.sh makes"):
        load(folder)
    (folder / f"{plan.stem}.xclbin").write_text("x", encoding="ascii")
    card = FakeCard(folder)
    monkeypatch.setitem(sys.modules, "pyxrt", card.module())
    net = load(folder, timeout_s=0.1)
    assert (net.check(batch=30).images, net.check(batch=30).wrong) == (64, 0)
    card.fault = True
    with pytest.raises(TimeoutError, match=r"receiving of 64 inferences ended as timeout within 0\.1 s"):
        net.check()
    net.reset()
    assert card.loads == 2


def test_the_host_program_stands_alone_and_says_in_one_line_what_is_missing(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flow_host", "."], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 3
    assert done.stderr == "ModuleNotFoundError: No module named 'pynq'\n"


@pytest.mark.parametrize("path", sorted(HOST.glob("*.py")), ids=lambda path: path.name)
def test_the_host_program_runs_on_the_python_of_pynq_images(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 8))
    imported = {
        alias.name.partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    } | {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level}
    assert "flow" not in imported
    for node in ast.walk(tree):  # these came with Python 3.10
        if isinstance(node, ast.Call):
            assert not any(word.arg in ("strict", "slots", "kw_only") for word in node.keywords)


def test_small_networks_give_small_beats() -> None:
    layout = aligned((16,), dense_network().input_format, 4)
    assert (layout.beats, layout.lane_bits, layout.beat_bytes, layout.tdata, layout.words) == (4, 8, 4, 32, 1)
    wide = aligned((784,), FixedFormat(8, 0), 784)
    assert (wide.beat_bytes, wide.tdata, wide.words) == (1024, 256, 32)
