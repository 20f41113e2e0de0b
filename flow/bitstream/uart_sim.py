"""A board with a UART in Verilator, as a serial port that the host program talks to."""

from __future__ import annotations

import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flow.errors import ToolError
from flow.rtl.verilator import Source, Verilator, compile_program, find_verilator

SETTLE_CYCLES = 2_000_000
"""Cycles simulated after the line has gone quiet: longer than any inference takes."""


def simulated_port(
    files: Mapping[str, str],
    top: str,
    clocks_per_bit: int,
    cache: Path,
    tools: Verilator | None = None,
    settle: int = SETTLE_CYCLES,
) -> SimulatedPort:
    """Start module ``top``, which has clk, rst, uart_rx and uart_tx. ``cache`` keeps compiled simulations.

    Raises ToolError if a tool is missing, ToolFailure if one fails; a lint warning is a failure.
    """
    source = Source(files, top, 1, 1, {}, "shell/uart_sim.cpp")
    program = compile_program(source, tools or find_verilator(), cache)
    return SimulatedPort(program, source, clocks_per_bit, settle)


class SimulatedPort:
    """As much of pyserial's Serial as the host program uses, and the line's defects that a test wants."""

    def __init__(self, program: Path, source: Source, clocks_per_bit: int, settle: int) -> None:
        self.timeout = 0.05
        self._folder = tempfile.TemporaryDirectory(prefix="flow_uart_")
        source.write(Path(self._folder.name))  # the program reads its memories from where it runs
        argv = [str(program.resolve()), str(clocks_per_bit), str(settle)]
        self._process = subprocess.Popen(
            argv,
            cwd=self._folder.name,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        self._received = bytearray()
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        while data := self._process.stdout.read(4096):
            with self._news:
                self._received += data
                self._news.notify_all()

    def _send(self, op: int, arguments: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(bytes(b for argument in arguments for b in (op, argument)))
        except OSError as error:
            raise ToolError(f"the simulated board has ended with status {self._process.poll()}") from error

    def write(self, data: bytes) -> int:
        """Send bytes to the board."""
        self._send(0, data)
        return len(data)

    def silence(self, bits: int) -> None:
        """Leave the line idle for some bit times."""
        for left in range(bits, 0, -255):
            self._send(1, bytes((min(left, 255),)))

    def broken(self, data: bytes) -> None:
        """Send bytes whose stop bits are missing."""
        self._send(2, data)

    def glitch(self, cycles: int) -> None:
        """Pull the line low for less than half a bit."""
        self._send(3, bytes((cycles,)))

    @property
    def in_waiting(self) -> int:
        """Bytes that have arrived."""
        with self._news:
            return len(self._received)

    def read(self, size: int = 1) -> bytes:
        """Up to ``size`` bytes; waits ``timeout`` seconds for the first."""
        end = time.monotonic() + self.timeout
        with self._news:
            while not self._received and (left := end - time.monotonic()) > 0:
                self._news.wait(left)
            data = bytes(self._received[:size])
            del self._received[:size]
        return data

    def close(self) -> None:
        """End the simulation; it is killed if it does not end by itself."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.kill()
        self._process.wait()
        self._thread.join(timeout=5)
        for stream in (self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        self._folder.cleanup()

    def __enter__(self) -> SimulatedPort:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()
