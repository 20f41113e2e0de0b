"""flow: search quantized neural networks together with the FPGA hardware that runs them."""

__version__ = "0.1.0"
