"""The network behind a UART, pins and all, with the host program that talks to the real board."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from flow.bitstream.accelerator import Accelerator, rtl_accelerator, uart_clocks
from flow.bitstream.host.accelerator import SerialLink
from flow.bitstream.host.codec import Side
from flow.bitstream.host.uart import (
    ABOUT,
    ERROR,
    INFER,
    INFO,
    RESULT,
    FrameReader,
    Reply,
    UartError,
    UartLink,
    checksum,
    frame,
)
from flow.bitstream.render import render
from flow.bitstream.uart_sim import SimulatedPort, simulated_port
from flow.errors import InputError
from flow.hls.samples import random_samples
from flow.network.quantized import IntArray
from flow.network.quantized_reference import forward
from tests.rtl.builder import conv_network

CLOCKS_PER_BIT = 8
BAUD = 1_000_000  # of the simulated host: only its timeouts depend on it
LINE, LENGTH, CHECKSUM, KIND, OVERRUN = range(1, 6)


@pytest.fixture(scope="module")
def accelerator() -> Accelerator:
    return rtl_accelerator(conv_network(), 100.0, 100_000, "uart")


@pytest.fixture(scope="module")
def files(accelerator: Accelerator) -> dict[str, str]:
    """The Verilog of the network with its UART."""
    top = render(
        "shell/flow_uart_top.v.j2", inp=accelerator.input, out=accelerator.output, id=accelerator.id,
        clocks_per_bit=CLOCKS_PER_BIT,
    )  # fmt: skip
    found = {path.removeprefix("rtl/"): text for path, text in accelerator.files.items() if isinstance(text, str)}
    return {**found, "flow_uart_top.v": top}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("uart")


@pytest.fixture
def port(files: dict[str, str], cache: Path) -> Iterator[SimulatedPort]:
    with simulated_port(files, "flow_uart_top", CLOCKS_PER_BIT, cache) as opened:
        yield opened


@pytest.fixture
def images(accelerator: Accelerator) -> tuple[IntArray, IntArray]:
    codes = random_samples(accelerator.network, 100).codes
    return codes, forward(accelerator.network, codes)


def answers(port: SimulatedPort, count: int, seconds: float = 5.0) -> list[Reply]:
    """The next ``count`` replies, whatever they are."""
    reader, found = FrameReader(), []
    for _ in range(int(seconds / port.timeout)):
        found += reader.feed(port.read(4096))
        if len(found) >= count:
            break
    return found


def infer(port: SimulatedPort, accelerator: Accelerator, codes: IntArray) -> tuple[IntArray, UartLink]:
    """Outputs through the host program."""
    link = UartLink(port, BAUD, timeout_s=0.5)
    inp, out = Side.from_dict(accelerator.input.to_dict()), Side.from_dict(accelerator.output.to_dict())
    data = SerialLink(link, {"id": accelerator.id}).run(inp.pack(codes), out.bytes)
    return np.asarray(out.unpack(data)), link


@pytest.mark.slow
def test_the_board_says_what_it_is(port: SimulatedPort, accelerator: Accelerator) -> None:
    info = UartLink(port, BAUD).info()
    assert (info.in_bytes, info.out_bytes) == (accelerator.input.bytes, accelerator.output.bytes)
    assert info.design == accelerator.id
    with pytest.raises(RuntimeError, match="the board runs design"):
        SerialLink(UartLink(port, BAUD), {"id": "0" * 16})


@pytest.mark.slow
def test_a_hundred_images_come_out_as_the_network_computes_them(
    port: SimulatedPort, accelerator: Accelerator, images: tuple[IntArray, IntArray]
) -> None:
    found, link = infer(port, accelerator, images[0])
    assert np.array_equal(found, images[1])
    assert link.repeated == 0


class BadLine:
    """A port whose line now and then loses, breaks, adds and garbles what the host sends."""

    def __init__(self, port: SimulatedPort, seed: int) -> None:
        self.port, self.random, self.faults = port, random.Random(seed), 0

    def write(self, data: bytes) -> int:
        faults = (
            [lambda: None] * 6
            + [
                lambda: self.port.write(self.random.randbytes(self.random.randrange(1, 200))),  # garbage before
                lambda: self.port.write(data[: self.random.randrange(1, len(data))]),  # a frame that breaks off
                lambda: self.port.broken(self.random.randbytes(3)),  # bytes without stop bits
                lambda: self.port.write(data + data),  # requests that come while the board is busy
                lambda: self.port.glitch(self.random.randrange(1, CLOCKS_PER_BIT // 2)),
                lambda: self.port.write(b"\x7e" * self.random.randrange(1, 20)),
                lambda: self.port.write(frame(self.random.randrange(256), 0, self.random.randbytes(5))),
                lambda: self.port.write(b"\x7d\x7e"),
            ]
        )
        fault = self.random.choice(faults)
        self.faults += fault() is not None or fault not in faults[:6]  # type: ignore[no-untyped-call]
        sent = bytearray(data)
        if self.random.random() < 0.2:
            sent[self.random.randrange(len(sent))] ^= 1 << self.random.randrange(8)
            self.faults += 1
        return self.port.write(bytes(sent))

    def read(self, size: int) -> bytes:
        return self.port.read(size)

    @property
    def in_waiting(self) -> int:
        return self.port.in_waiting


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_bad_line_costs_time_but_never_a_wrong_result(
    port: SimulatedPort, accelerator: Accelerator, images: tuple[IntArray, IntArray], seed: int
) -> None:
    line = BadLine(port, seed)
    link = UartLink(line, BAUD, timeout_s=0.2, attempts=50)
    inp, out = Side.from_dict(accelerator.input.to_dict()), Side.from_dict(accelerator.output.to_dict())
    data = [np.frombuffer(link.infer(row.tobytes(), out.bytes), np.uint8) for row in inp.pack(images[0])]
    assert np.array_equal(out.unpack(np.stack(data)), images[1])
    assert line.faults > 30
    assert link.repeated > 10
    # And a clean line is as good as new.
    found, clean = infer(port, accelerator, images[0][:5])
    assert np.array_equal(found, images[1][:5])
    assert clean.repeated == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "cut", "code"),
    [(INFER, 1, LENGTH), (INFER, -3, LENGTH), (INFO, -1, LENGTH), (0x55, 0, KIND)],
)
def test_a_frame_of_the_wrong_length_or_kind_is_answered_so(
    port: SimulatedPort, accelerator: Accelerator, kind: int, cut: int, code: int
) -> None:
    payload = bytes(accelerator.input.bytes)
    payload = payload[:-cut] if cut > 0 else payload + bytes(-cut)
    port.write(frame(kind, 7, payload))
    assert answers(port, 1) == [Reply(ERROR, 7, bytes((code,)))]
    assert UartLink(port, BAUD).info().design == accelerator.id


@pytest.mark.slow
def test_a_frame_with_a_wrong_bit_is_answered_so(port: SimulatedPort, accelerator: Accelerator) -> None:
    message = bytearray(frame(INFER, 9, bytes(accelerator.input.bytes)))
    message[20] ^= 4
    port.write(bytes(message))
    assert answers(port, 1) == [Reply(ERROR, 9, bytes((CHECKSUM,)))]


@pytest.mark.slow
def test_a_byte_without_its_stop_bit_is_answered_so(port: SimulatedPort, accelerator: Accelerator) -> None:
    message = frame(INFER, 3, bytes(accelerator.input.bytes))
    port.write(message[:10])
    port.broken(message[10:11])
    port.write(message[11:])
    assert answers(port, 1) == [Reply(ERROR, 3, bytes((LINE,)))]


@pytest.mark.slow
def test_requests_without_a_pause_are_answered_or_reported_lost(
    port: SimulatedPort, accelerator: Accelerator, images: tuple[IntArray, IntArray]
) -> None:
    inp, out = Side.from_dict(accelerator.input.to_dict()), Side.from_dict(accelerator.output.to_dict())
    rows = inp.pack(images[0][:12])
    # Longer questions than answers, so results come; then questions much shorter than their answers.
    port.write(b"".join(frame(INFER, i, row.tobytes()) for i, row in enumerate(rows)))
    for reply in answers(port, 12):
        if reply.kind == RESULT:
            values = out.unpack(np.frombuffer(reply.payload, np.uint8))
            assert np.array_equal(values[0], images[1][reply.number])
        else:
            assert reply == Reply(ERROR, reply.number, bytes((OVERRUN,)))
    port.write(b"".join(frame(INFO, i) for i in range(40)))
    replies = answers(port, 41, 3.0)
    assert any(reply.kind == ABOUT for reply in replies)
    assert any(reply.payload == bytes((OVERRUN,)) for reply in replies)
    assert UartLink(port, BAUD).info().design == accelerator.id


# Without a board


def test_the_checksum_is_the_published_one() -> None:
    assert checksum(b"123456789") == 0x29B1  # CRC-16/CCITT-FALSE in the catalogue of CRC algorithms


def test_flags_and_escapes_pass_through_a_frame() -> None:
    payload = bytes(range(256))
    assert FrameReader().feed(frame(INFER, 0x7E, payload)) == [Reply(INFER, 0x7E, payload)]
    assert frame(INFER, 1, b"\x7e\x7d").count(0x7E) == 2


def test_a_reader_finds_the_frame_behind_any_garbage() -> None:
    rng = random.Random(0)
    for _ in range(200):
        garbage = rng.randbytes(rng.randrange(0, 40))
        found = FrameReader().feed(garbage + frame(RESULT, 5, b"right"))
        assert Reply(RESULT, 5, b"right") in found


class Silent:
    """A port where nobody answers."""

    in_waiting = 0

    def write(self, data: bytes) -> int:
        return len(data)

    def read(self, size: int) -> bytes:
        return b""


def test_a_board_that_does_not_answer_is_an_error_and_no_hang() -> None:
    with pytest.raises(UartError, match=r"no answer within 0\.01 s, after 2 attempts: check that the right bitstream"):
        UartLink(Silent(), BAUD, timeout_s=0.01, attempts=2).info()


@pytest.mark.parametrize(
    ("mhz", "cycles", "baud"), [(100, 100, 1_000_000), (12, 12, 1_000_000), (83.33, 83, 1_000_000), (3.3, 29, 115_200)]
)
def test_the_uart_is_as_fast_as_its_clock_allows(mhz: float, cycles: int, baud: int) -> None:
    assert uart_clocks(mhz) == (cycles, baud)


def test_a_clock_that_makes_no_baud_rate_is_refused() -> None:
    with pytest.raises(InputError, match=r"0\.5 MHz can't make 115,200 baud"):
        uart_clocks(0.5)
