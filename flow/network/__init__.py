"""Networks: layers with shapes and fixed-point formats, the data they are trained on, and their training.

``Network`` and the formats are pure data; TensorFlow, Keras and QKeras are imported only inside functions.
"""

from flow.network.fixed import FixedFormat, WeightFormat
from flow.network.network import Layer, Network, build_network

__all__ = ["FixedFormat", "Layer", "Network", "WeightFormat", "build_network"]
