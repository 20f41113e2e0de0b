"""Inferences over a UART: the host's side of docs/uart-protocol.md. Needs pyserial to open a port, nothing else.

A request is sent again when its reply does not come, does not fit or is an error; so noise on the line costs time,
never a wrong result. What arrives in between is ignored.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

FLAG, ESCAPE, CHANGED = 0x7E, 0x7D, 0x20
INFER, INFO = 0x01, 0x02
RESULT, ABOUT, ERROR = 0x81, 0x82, 0xEE
PROTOCOL = 1
ERRORS = {
    1: "a byte was broken on the line (is the baud rate right?)",
    2: "the frame has the wrong length",
    3: "the frame has a wrong checksum",
    4: "the frame is of an unknown kind",
    5: "the board was busy",
}


class UartError(Exception):
    """The board does not answer as it should."""


def checksum(data: bytes) -> int:
    """CRC-16 with polynomial 0x1021, from 0xffff, highest bit first."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1) ^ 0x1021 if crc & 0x8000 else crc << 1
        crc &= 0xFFFF
    return crc


def frame(kind: int, number: int, payload: bytes = b"") -> bytes:
    """A frame as it goes over the line, flags and escapes included."""
    content = bytes((kind, number)) + payload
    out = bytearray((FLAG,))
    for byte in content + checksum(content).to_bytes(2, "big"):
        if byte in (FLAG, ESCAPE):
            out += bytes((ESCAPE, byte ^ CHANGED))
        else:
            out.append(byte)
    out.append(FLAG)
    return bytes(out)


@dataclass(frozen=True)
class Reply:
    """A frame that came whole and with a right checksum."""

    kind: int
    number: int
    payload: bytes


@dataclass(frozen=True)
class Info:
    """What the board says it is: bytes of an inference in and out, and the first 8 bytes of the design's digest."""

    protocol: int
    in_bytes: int
    out_bytes: int
    design: str


class FrameReader:
    """Finds frames in what arrives; broken ones are dropped."""

    def __init__(self) -> None:
        self._content: bytearray | None = None
        self._escaped = False

    def feed(self, data: bytes) -> list[Reply]:
        """The frames that end within ``data``."""
        found = []
        for byte in data:
            if byte == FLAG:
                content = bytes(self._content or b"")
                if len(content) >= 4 and not self._escaped and checksum(content) == 0:
                    found.append(Reply(content[0], content[1], content[2:-2]))
                self._content, self._escaped = bytearray(), False
            elif self._content is not None:
                if byte == ESCAPE and not self._escaped:
                    self._escaped = True
                else:
                    self._content.append(byte ^ CHANGED if self._escaped else byte)
                    self._escaped = False
        return found


class UartLink:
    """Sends requests through ``port``, an object as pyserial's Serial: read, write, in_waiting."""

    def __init__(self, port: Any, baud: int, timeout_s: float = 1.0, attempts: int = 8) -> None:
        self.port = port
        self.baud = baud
        self.timeout_s = timeout_s
        self.attempts = attempts
        self.repeated = 0
        """Requests that had to be sent again."""
        self._reader = FrameReader()
        self._number = 0
        self._info: Info | None = None

    def info(self) -> Info:
        """What the board is; asked once. Raises UartError."""
        if self._info is None:
            data = self.request(INFO, b"", ABOUT, 17)
            if data[0] != PROTOCOL:
                raise UartError(f"the board speaks version {data[0]} of the protocol, this program {PROTOCOL}")
            design = data[9:17][::-1].hex()
            self._info = Info(data[0], int.from_bytes(data[1:5], "little"), int.from_bytes(data[5:9], "little"), design)
        return self._info

    def infer(self, data: bytes, out_bytes: int) -> bytes:
        """The result of one inference, of ``out_bytes``. Raises UartError when the board gives none."""
        return self.request(INFER, data, RESULT, out_bytes)

    def request(self, kind: int, payload: bytes, wanted: int, length: int) -> bytes:
        """Send a request until its reply comes; returns the reply's payload. Raises UartError after all attempts."""
        problem = "no answer"
        for attempt in range(self.attempts):
            self._number = (self._number + 1) % 256
            message = frame(kind, self._number, payload)
            self.repeated += attempt > 0
            self.port.write(message)
            # Ten bits a byte, both ways; escapes may double what comes back.
            line_s = 10.0 / self.baud * (len(message) + 2 * (length + 4) + 2)
            end = time.monotonic() + self.timeout_s + line_s
            while time.monotonic() < end:
                reply = self._next(self._number, (wanted, ERROR))
                if reply is None:
                    continue
                if reply.kind == wanted and len(reply.payload) == length:
                    return reply.payload
                if reply.kind == ERROR and len(reply.payload) == 1:
                    problem = ERRORS.get(reply.payload[0], f"error {reply.payload[0]}")
                else:
                    problem = f"a reply of {len(reply.payload)} bytes, not {length}: another bitstream?"
                break
            else:
                problem = f"no answer within {self.timeout_s:g} s"
        raise UartError(
            f"{problem}, after {self.attempts} attempts: check that the right bitstream is loaded, the port, "
            f"and the baud rate ({self.baud})"
        )

    def _next(self, number: int, kinds: tuple[int, ...]) -> Reply | None:
        """The next frame that answers request ``number``, or None if none is complete yet."""
        data = self.port.read(max(1, self.port.in_waiting))
        for reply in self._reader.feed(data):
            if reply.number == number and reply.kind in kinds:
                return reply
        return None


def open_port(name: str, baud: int) -> Any:
    """The serial port called ``name``. Raises UartError saying what is missing."""
    try:
        import serial
    except ImportError as error:
        raise UartError("pyserial is not installed: pip install pyserial") from error
    try:
        return serial.Serial(name, baud, timeout=0.05, write_timeout=10.0)
    except (OSError, ValueError) as error:  # serial.SerialException is an OSError
        raise UartError(f"cannot open the port {name}: {error}") from error
