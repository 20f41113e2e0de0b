"""A model file on its way to hardware: its integers without a framework where that is possible, Keras where not.

The integers that count are those of the model as Keras loads it. ``flow.archive`` reads the same ones from the file in
a fraction of the time; they serve to find a project that is written already, and are never written themselves.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flow.errors import InputError, MissingDependency
from flow.network.fixed import FixedFormat
from flow.network.model_file import check_archive
from flow.network.network import Network
from flow.network.quantized import QuantizedNetwork


def _silent(text: str) -> None:
    pass


@dataclass(eq=False)
class ModelFile:
    """A .keras file with the formats that it does not state itself. ``say`` is told when the frameworks are loaded."""

    path: Path
    input_format: FixedFormat
    float_format: FixedFormat | None = None
    say: Callable[[str], None] = _silent
    _model: Any = field(default=None, init=False, repr=False)
    _network: QuantizedNetwork | None = field(default=None, init=False, repr=False)

    def quick(self) -> QuantizedNetwork | None:
        """The integers as read from the archive; None if that is not possible. Raises InputError for no model file."""
        from flow.archive.read import read_steps
        from flow.network.quantized_assemble import assemble

        check_archive(self.path)
        try:
            found = read_steps(self.path, self.float_format)
            return assemble(found.input_name, found.input_shape, self.input_format, found.steps)
        except InputError:
            return None  # what Keras makes of the file decides

    def estimate(self) -> Network | None:
        """The network as the predictor sees it; None if it has layers that nothing is known of."""
        from flow.archive.read import DEFAULT_PRECISION, read_archive

        try:
            return read_archive(self.path, self.input_format, self.float_format or DEFAULT_PRECISION).network
        except InputError:
            return None

    @property
    def is_loaded(self) -> bool:
        """Whether Keras has loaded it."""
        return self._model is not None

    @property
    def model(self) -> Any:
        """The Keras model, loaded once. Raises InputError, MissingDependency."""
        if self._model is None:
            from importlib.util import find_spec

            from flow.network.model_file import load_model

            for module, package, extra in (("qkeras", "qkeras-v3", "search"), ("hls4ml", "hls4ml", "hls")):
                if find_spec(module) is None:
                    raise MissingDependency(package, extra)
            if "qkeras" not in sys.modules:
                self.say("loading TensorFlow and QKeras (5 to 20 s)")
            os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")  # bits must not depend on a GPU
            os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # nor need a user hear that there is none
            self._model = load_model(self.path)
        return self._model

    @property
    def network(self) -> QuantizedNetwork:
        """Its integers. Raises Unconvertible naming every layer that stands in the way."""
        if self._network is None:
            from flow.network.quantized_keras import from_keras

            self._network = from_keras(self.model, self.input_format, float_format=self.float_format)
        return self._network
