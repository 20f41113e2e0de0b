"""Which memory a buffer or a table of weights goes to: LUTs or block RAM, whichever is cheaper.

Costs are those of 7-series (UG473, UG474): a RAMB18 holds 512 words of 36 bits down to 16384 of 1, two of them make a
RAMB36; a LUT holds 64 words of one bit as a ROM, and four LUTs 32 words of 6 bits as a RAM with two ports (RAM32M).
Multiplexers behind them as Yosys 0.70 builds them.
"""

from __future__ import annotations

LUTS_PER_BRAM18 = 150.0
"""What a RAMB18 is worth in LUTs: a Zynq 7020 has 53,200 LUTs and 280 RAMB18, 190 each; weights have no other home."""

_SHAPES = ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1))


def block_width(depth: int) -> int:
    """Bits of the widest block RAM that holds ``depth`` words without a multiplexer behind it: a RAMB36's, if any."""
    return 2 * next((width for words, width in _SHAPES if depth <= words), 1)


def bram18_blocks(depth: int, bits: int) -> int:
    """RAMB18 for ``depth`` words of ``bits`` bits, as many side by side as their width needs."""
    width = block_width(depth) // 2
    return -(-bits // width) * -(-depth // _SHAPES[-1][0])


def rom_luts(depth: int, bits: int) -> float:
    """LUTs of a ROM of ``depth`` words of ``bits`` bits, multiplexers of slices not counted."""
    return bits * (0.5 if depth <= 8 else 1.0 if depth <= 64 else 2.0 if depth <= 128 else depth / 60)


def ram_luts(depth: int, bits: int) -> float:
    """LUTs of a RAM with a write and a read port."""
    blocks = -(-depth // 32)
    return bits * (2 / 3 * blocks + (0 if blocks == 1 else 1 if blocks <= 4 else blocks / 2.5))


def rom_style(depth: int, bits: int) -> str:
    """The cheaper memory for a table: "block" or "logic".

    Yosys takes "distributed" for a wish for LUT RAM, which has no initial content; Vivado ignores "logic" and decides
    by itself.
    """
    return "block" if bram18_blocks(depth, bits) * LUTS_PER_BRAM18 < rom_luts(depth, bits) else "logic"


def ram_style(depth: int, bits: int) -> str:
    """The cheaper memory for a buffer: "block" or "distributed"."""
    return "block" if bram18_blocks(depth, bits) * LUTS_PER_BRAM18 < ram_luts(depth, bits) else "distributed"
