"""The host's side of a network in hardware; copied as ``flow_host`` into every result folder, so it stands alone.

Needs numpy, and pynq, pyserial or pyxrt for the board at hand. Written for Python 3.8 on, as PYNQ images have it.
"""

from .accelerator import Accelerator, Check, load

__all__ = ["Accelerator", "Check", "load"]
