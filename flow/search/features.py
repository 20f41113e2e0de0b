"""What is known of a network for free that goes with its accuracy: amounts a sampler may compare candidates by."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flow.estimate.table import LayerTable

FEATURES = (
    "weight bits", "multiply-accumulates", "weight layers", "narrowest weights", "mean weight width",
    "narrowest inputs", "mean input width", "narrowest tensor", "inputs of the last layer", "fewest outputs",
)  # fmt: skip
"""Names of the columns of ``network_features``; amounts as their base-2 logarithm, widths and counts as they are."""


def network_features(table: LayerTable) -> NDArray[np.float64]:
    """One row a network of ``table``, shape (networks, features); 0 for a network without rows."""
    rows = table.select(table.is_weight)
    network, count = rows.network, table.networks
    layers = np.bincount(network, minlength=count).astype(np.float64)

    def total(values: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.bincount(network, weights=values.astype(np.float64), minlength=count)  # type: ignore[return-value]

    def least(values: NDArray[np.int64]) -> NDArray[np.float64]:
        result = np.full(count, np.inf)
        np.minimum.at(result, network, values.astype(np.float64))
        return np.where(np.isfinite(result), result, 0.0)

    def log(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.log2(np.maximum(values, 1.0))

    last = np.zeros(count)
    last[network] = rows.fan_in  # rows are in the order of the layers: the last one stays
    mean = np.maximum(layers, 1.0)
    columns = [
        log(total(rows.fan_in * rows.out_c * rows.w_width)),
        log(total(rows.macs)),
        layers,
        least(rows.w_width),
        total(rows.w_width) / mean,
        least(rows.x_width),
        total(rows.x_width) / mean,
        log(least(rows.in_h * rows.in_w * rows.in_c * rows.x_width)),
        log(last),
        log(least(rows.out_c)),
    ]
    return np.stack(columns, axis=1)
