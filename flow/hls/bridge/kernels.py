"""Our own hls4ml layers: activations that hls4ml 1.3 lacks or computes inexactly, from ``templates/hls/nnet_flow.h``.

They are registered through hls4ml's extension API: layer classes, templates for the generated C++, and the header
that is copied into every project.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from flow.fileio import data_dir

HEADER = "nnet_flow.h"
CLASSES = {"clip": "FlowClip", "sign": "FlowSign", "ternary": "FlowTernary", "table": "FlowTable"}
"""hls4ml class of each operation that is ours."""

_CONFIGS = {
    "clip": """
    static const bool leaky = {leaky};
    static constexpr double slope = {slope};
    static const long long low = {low};
    static const long long high = {high};
    typedef ap_ufixed<{slope_width}, 1> slope_t;""",
    "sign": "",
    "ternary": """
    static const bool reaches_low = {reaches_low};
    static const bool reaches_high = {reaches_high};
    static const long long low = {low};
    static const long long high = {high};""",
    "table": """
    static const long long low = {low};
    static const long long high = {high};
    static const unsigned table_size = {table_size};
    typedef {table_t.name} table_t;""",
}


@lru_cache(maxsize=1)
def register_kernels() -> None:
    """Make hls4ml know our layers, once per process."""
    from hls4ml.backends import get_backend
    from hls4ml.backends.template import FunctionCallTemplate, LayerConfigTemplate
    from hls4ml.model.attributes import Attribute, ConfigurableAttribute, TypeAttribute, WeightAttribute
    from hls4ml.model.layers import Layer, register_layer

    plain = [Attribute("n_in"), ConfigurableAttribute("reuse_factor", default=1)]
    constant = [WeightAttribute("table"), TypeAttribute("table")]

    def initialize(self: Any) -> None:
        source = self.get_input_variable()
        self.add_output_variable(source.shape)
        self.set_attr("n_in", source.size())
        if self.get_attr("table_data") is not None:
            self.set_attr("table_size", len(self.get_attr("table_data")))
            self.add_weights_variable(name="table", var_name="t{index}")

    backend = get_backend("Vivado")
    for op, name in CLASSES.items():
        attributes = plain + constant if op == "table" else plain
        cls = type(name, (Layer,), {"_expected_attributes": attributes, "initialize": initialize})
        register_layer(name, cls)
        # Vitis runs Vivado's template flow as well.
        backend.register_template(_config_template(LayerConfigTemplate, cls, op))
        backend.register_template(_function_template(FunctionCallTemplate, cls, op))
    for name in ("Vivado", "Vitis"):
        get_backend(name).register_source(data_dir("templates") / "hls" / HEADER)


def _config_template(base: Any, cls: Any, op: str) -> Any:
    body = (
        "struct config{index} {{\n    static const unsigned n_in = {n_in};\n"
        "    static const unsigned io_type = nnet::{iotype};\n"
        "    static const unsigned reuse_factor = {reuse};" + _CONFIGS[op] + "\n}};\n"
    )

    def start(self: Any) -> None:
        base.__init__(self, cls)

    def format_(self: Any, node: Any) -> str:
        return body.format(**self._default_config_params(node))

    return type(f"{cls.__name__}ConfigTemplate", (base,), {"__init__": start, "format": format_})


def _function_template(base: Any, cls: Any, op: str) -> Any:
    body = "nnet::flow_" + op + "<{input_t}, {output_t}, {config}>({input}, {output}{more});"

    def start(self: Any) -> None:
        base.__init__(self, cls, include_header=[f"nnet_utils/{HEADER}"])

    def format_(self: Any, node: Any) -> str:
        more = f", {node.get_weights('table').name}" if op == "table" else ""
        return body.format(**self._default_function_params(node), more=more)

    return type(f"{cls.__name__}FunctionTemplate", (base,), {"__init__": start, "format": format_})
