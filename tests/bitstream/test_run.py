"""`flow run`: images through a serial port, and one clear line when something is not as it should be."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from flow import cli
from flow.bitstream.host.codec import Side
from flow.bitstream.host.uart import ABOUT, ERROR, INFER, INFO, PROTOCOL, RESULT, FrameReader, frame
from flow.bitstream.project import Design
from flow.network.quantized_reference import encode, forward
from tests.bitstream.builder import plan_for
from tests.bitstream.pty_board import PtyBoard
from tests.rtl.builder import conv_network


class SoftBoard:
    """A board in software: it speaks the protocol, and computes with the integer reference."""

    def __init__(self, design: Design) -> None:
        a = design.accelerator
        self.network, self.id = a.network, a.id
        self.input, self.output = Side.from_dict(a.input.to_dict()), Side.from_dict(a.output.to_dict())
        self.reader, self.out = FrameReader(), bytearray()
        self.seen = 0
        self.refuse_every = 0
        self.wrong = False
        self.dies_after: int | None = None

    def write(self, data: bytes) -> None:
        for request in self.reader.feed(data):
            self.seen += 1
            if self.dies_after is not None and self.seen > self.dies_after:
                continue
            if self.refuse_every and self.seen % self.refuse_every == 0:
                self.out += frame(ERROR, request.number, b"\x03")
            elif request.kind == INFO:
                sizes = self.input.bytes.to_bytes(4, "little") + self.output.bytes.to_bytes(4, "little")
                self.out += frame(ABOUT, request.number, bytes((PROTOCOL,)) + sizes + bytes.fromhex(self.id)[::-1])
            elif request.kind == INFER:
                codes = self.input.unpack(np.frombuffer(request.payload, np.uint8))
                result = bytearray(self.output.pack(forward(self.network, codes)).tobytes())
                result[0] ^= self.wrong
                self.out += frame(RESULT, request.number, bytes(result))

    def read(self, size: int) -> bytes:
        if not self.out:
            time.sleep(0.002)
        data = bytes(self.out[:size])
        del self.out[:size]
        return data


@pytest.fixture(params=["ulx3s-85f", "arty-a7-35t"])
def design(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Design:
    """A design whose project lies in the run `first` of the current folder."""
    monkeypatch.chdir(tmp_path)
    plan, found = plan_for(request.param, conv_network())
    plan.write(Path("runs") / "first" / "bitstream" / plan.stem)
    Path("runs/latest").symlink_to("first")
    return found


@pytest.fixture
def soft(design: Design) -> SoftBoard:
    return SoftBoard(design)


@pytest.fixture
def port(soft: SoftBoard) -> Iterator[str]:
    with PtyBoard(soft) as board:
        yield board.name


def flow_run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = cli.main(["run", *map(str, arguments)])
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return code, captured.out, captured.err


def test_the_documented_frames_are_what_goes_over_the_line(repository: Path) -> None:
    text = (repository / "docs" / "uart-protocol.md").read_text(encoding="utf-8")
    asked, answered = text.split("<!-- example -->\n```\n")[1].split("\n```")[0].splitlines()
    assert frame(INFO, 7) == bytes.fromhex(asked)
    design = bytes.fromhex("a25cf6f14b98a79a")[::-1]
    sizes = (64).to_bytes(4, "little") + (20).to_bytes(4, "little")
    assert frame(ABOUT, 7, bytes((PROTOCOL,)) + sizes + design) == bytes.fromhex(answered)


def test_the_recorded_vectors_are_run_and_compared(
    design: Design, port: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = flow_run(capsys, "--port", port)
    assert (code, err) == (0, "")
    assert f"board     {design.board.name}, runs/first/bitstream/{design.stem}/board" in out
    assert "results   64 of 64 bit for bit as computed here" in out
    assert "images/s, data transfer included" in out


def test_error_replies_are_asked_again(soft: SoftBoard, port: str, capsys: pytest.CaptureFixture[str]) -> None:
    soft.refuse_every = 5
    code, out, _ = flow_run(capsys, "--port", port, "--json")
    found = json.loads(out)
    assert (code, found["images"], found["wrong"]) == (0, 64, 0)
    assert found["repeated"] >= 12


def test_images_as_the_data_set_has_them_are_rounded_as_in_training(
    design: Design, port: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = conv_network()
    x = np.random.default_rng(3).uniform(-0.1, 1.1, size=(40, 6, 6, 2))
    labels = forward(network, encode(x, network.input_format)).reshape(40, -1).argmax(axis=1)
    labels[:10] = (labels[:10] + 1) % 3
    np.savez(tmp_path / "mine.npz", x=x, y=labels)
    code, out, _ = flow_run(capsys, "mine.npz", "--port", port, "--limit", 20, "--json")
    found = json.loads(out)
    assert (code, found["images"], found["source"]) == (0, 20, "mine.npz")
    assert found["accuracy"] == 0.5
    if design.board.name == "ulx3s-85f":  # the network lies beside the bitstream
        assert (found["wrong"], found["expected_accuracy"]) == (0, 0.5)


def test_a_wrong_result_is_an_error(soft: SoftBoard, port: str, capsys: pytest.CaptureFixture[str]) -> None:
    soft.wrong = True
    code, out, err = flow_run(capsys, "--port", port)
    assert code == 3
    assert "results   0 of 64" in out
    assert "64 of 64 results are not what the network gives" in err


def test_a_board_that_stops_answering_is_an_error_and_no_hang(
    soft: SoftBoard, port: str, capsys: pytest.CaptureFixture[str]
) -> None:
    soft.dies_after = 20
    started = time.monotonic()
    code, out, err = flow_run(capsys, "--port", port, "--timeout", 0.05)
    assert time.monotonic() - started < 5
    assert (code, out) == (3, "")
    assert "the board stopped answering: no answer within 0.05 s, after 8 attempts" in err


@pytest.mark.usefixtures("design")
def test_a_port_where_nobody_answers_is_an_error_and_no_hang(capsys: pytest.CaptureFixture[str]) -> None:
    master, slave = os.openpty()
    try:
        code, _, err = flow_run(capsys, "--port", os.ttyname(slave), "--timeout", 0.05)
    finally:
        os.close(master)
        os.close(slave)
    assert code == 3
    assert "no answer within 0.05 s, after 8 attempts: check that the right bitstream is loaded, the port" in err


@pytest.mark.usefixtures("design")
def test_a_port_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = flow_run(capsys, "--port", "/dev/ttyNOBODY")
    assert code == 3
    assert "cannot open the port /dev/ttyNOBODY" in err


def test_a_board_with_another_design_names_it(
    soft: SoftBoard, port: str, design: Design, capsys: pytest.CaptureFixture[str]
) -> None:
    soft.id = "0123456789abcdef"
    code, _, err = flow_run(capsys, "--port", port)
    assert code == 2
    assert f"the board runs design {soft.id}, runs/first/bitstream/{design.stem}/board is another: load its" in err


@pytest.mark.parametrize(
    ("arrays", "problem"),
    [
        ({"x": np.zeros((3, 5, 5))}, "images of shape (5, 5), the network takes (6, 6, 2)"),
        ({"z": np.zeros(3)}, "no array x_test, x, images or inputs in it, but z"),
        ({"inputs": np.zeros((2, 6, 6, 2))}, "(float64), the network takes (6, 6, 2)"),
        ({"inputs": np.full((2, 6, 6, 2), 99)}, "input codes go from 0 to 15, not beyond"),
        ({"x": np.full((2, 6, 6, 2), np.nan)}, "NaN"),
        ({"x": np.zeros((2, 6, 6, 2)), "y": np.zeros(3)}, "labels of shape (3,) for 2 images"),
        ({"x": np.array([["a"]])}, "images must be numbers"),
    ],
)
def test_images_that_are_not_the_networks_are_refused(
    arrays: dict[str, np.ndarray], problem: str, port: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "mine.npz", **arrays)  # type: ignore[arg-type]
    code, _, err = flow_run(capsys, "mine.npz", "--port", port)
    assert code == 2
    assert problem in err
    assert err.count("\n") == 1


def test_a_file_that_is_no_npz_is_refused(port: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.npz").write_bytes(b"PK\x03\x04 not really")
    code, _, err = flow_run(capsys, "mine.npz", "--port", port)
    assert code == 2
    assert "mine.npz: " in err


def test_a_data_set_of_another_shape_is_refused(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = flow_run(capsys, "--port", port, "--dataset", "digits")
    assert code == 2
    assert "data set digits has inputs (8, 8, 1)" in err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["a.npz", "--dataset", "digits"], "give images or --dataset, not both"),
        (["a.npz"], "a.npz: there is no such file"),
        (["--limit", "0"], "--limit must be at least 1"),
        (["--timeout", "nan"], "--timeout must be above 0"),
        (["--folder", "elsewhere"], "elsewhere is no folder of a bitstream"),
        ([], "no bitstream for a board with a UART here"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str],
    problem: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = flow_run(capsys, "--port", "/dev/null", *arguments)
    assert (code, out) == (2, "")
    assert problem in err
    assert err.count("\n") == 1


def test_a_board_without_a_uart_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    plan, _ = plan_for("pynq-z2", conv_network())
    plan.write(Path("bitstream") / plan.stem)
    code, _, err = flow_run(capsys, "--port", "x", "--folder", f"bitstream/{plan.stem}")
    assert code == 2
    assert "is for a board without a UART" in err
