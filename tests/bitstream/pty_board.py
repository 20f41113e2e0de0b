"""A simulated board behind a pseudo-terminal: a serial port that programs open by its name."""

from __future__ import annotations

import contextlib
import os
import threading
import time
import tty
from types import TracebackType
from typing import Any


class PtyBoard:
    """Carries bytes between a pseudo-terminal and ``line``, an object with write, read and in_waiting."""

    def __init__(self, line: Any) -> None:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.name = os.ttyname(self._slave)
        self._line = line
        self._open = True
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._to_board, self._from_board)]
        for thread in self._threads:
            thread.start()

    def _to_board(self) -> None:
        with contextlib.suppress(OSError):
            while data := os.read(self._master, 4096):
                time.sleep(0.0005)  # the rest of a message that was written in pieces
                self._line.write(data)

    def _from_board(self) -> None:
        with contextlib.suppress(OSError):
            while self._open:
                if data := self._line.read(4096):
                    os.write(self._master, data)

    def __enter__(self) -> PtyBoard:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._open = False
        os.close(self._slave)  # reading the master ends with an error then
        self._threads[1].join(timeout=5)
        os.close(self._master)
