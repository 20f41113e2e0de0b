"""The clock a board really makes, against all divider settings by brute force."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from flow.board import list_boards, load_board
from flow.clocks import EHXPLLL, MMCME2, MMCME4, SB_PLL40, ClockGenerator, ClockSetting, PllClock, PsClock, XrtClock
from flow.errors import InputError

GENERATORS: dict[str, ClockGenerator] = {
    "zynq7": PsClock("zynq7", 250, 50, 1000),
    "zynqmp": PsClock("zynqmp", 400, 33.333, 1500),
    "mmcm, 50 MHz": PllClock("mmcm", 464, 50, MMCME2),
    "mmcm, UltraScale+, 25 MHz": PllClock("mmcm", 667, 25, MMCME4),
    "mmcm, 33.333 MHz": PllClock("mmcm", 464, 33.333, MMCME2),
    "ecp5_pll, 25 MHz": PllClock("ecp5_pll", 400, 25, EHXPLLL),
    "ice40_pll, 12 MHz": PllClock("ice40_pll", 275, 12, SB_PLL40),
    "xrt": XrtClock("xrt", 650),
}


def limits(name: str) -> tuple[float, float, float, float, float]:
    """PFD and VCO ranges and the lowest output, as the manuals have them."""
    if name.startswith("mmcm, Ultra"):
        return 10, 450, 800, 1600, 6.25
    if name.startswith("mmcm"):
        return 10, 450, 600, 1200, 4.69
    return (10, 400, 400, 800, 3.125) if name.startswith("ecp5") else (10, 133, 533, 1066, 16)


@cache
def every_frequency(name: str) -> NDArray[np.float64]:
    """All frequencies the generator makes, sorted, from the equations in the manuals."""
    generator = GENERATORS[name]
    if isinstance(generator, PsClock):
        divider = np.arange(1.0, 64.0)
        return np.unique(generator.pll_mhz / np.multiply.outer(divider, divider))
    if isinstance(generator, XrtClock):
        return np.arange(10.0, 651.0, 5.0)
    assert isinstance(generator, PllClock)
    if name.startswith("mmcm"):
        multiply = np.arange(2, (128 if "Ultra" in name else 64) + 0.0625, 0.125)
        divide, output = np.arange(1.0, 107.0), np.array([1, *np.arange(2, 128.0625, 0.125)])
    elif name.startswith("ecp5"):
        multiply = divide = output = np.arange(1.0, 129.0)
    else:
        multiply, divide, output = np.arange(1.0, 129.0), np.arange(1.0, 17.0), 2.0 ** np.arange(1, 7)
    pfd_low, pfd_high, vco_low, vco_high, out_low = limits(name)
    made = [np.array([generator.input_mhz])]
    for d in divide:
        if not pfd_low <= generator.input_mhz / d <= pfd_high:
            continue
        vco = generator.input_mhz * multiply / d
        fine = multiply[(vco_low - 1e-9 <= vco) & (vco <= vco_high + 1e-9)]
        # Multiplied before it is divided, in eighths: a sum of roundings would not be comparable.
        grid = (generator.input_mhz * fine[:, None] * 8) / (d * output[None, :] * 8)
        made.append(grid[grid >= out_low])
    return np.unique(np.concatenate([m.ravel() for m in made]))


@pytest.mark.parametrize("name", GENERATORS)
@given(data=st.data())
def test_it_takes_the_fastest_clock_there_is_below_the_wanted_one(name: str, data: st.DataObject) -> None:
    every, generator = every_frequency(name), GENERATORS[name]
    usable = every[every <= generator.max_mhz]
    wanted = data.draw(
        st.one_of(
            st.floats(float(usable[0]), generator.max_mhz),
            st.integers(0, len(usable) - 1).map(lambda i: float(usable[i])),  # what exists must stay as it is
            st.integers(math.ceil(usable[0]), math.floor(generator.max_mhz)),
        )
    )
    made = generator.resolve(wanted)
    assert made.mhz <= wanted
    assert made.mhz == usable[np.searchsorted(usable, wanted, side="right") - 1]
    assert generator.resolve(made.mhz).mhz == made.mhz


@pytest.mark.parametrize("name", GENERATORS)
def test_the_least_frequency_is_the_least_one(name: str) -> None:
    assert GENERATORS[name].least_mhz == every_frequency(name)[0]


@pytest.mark.parametrize("name", GENERATORS)
@given(wanted=st.floats(0.3, 700))
def test_the_settings_make_the_frequency(name: str, wanted: float) -> None:
    generator = GENERATORS[name]
    if not generator.least_mhz <= wanted <= generator.max_mhz:
        return
    made = generator.resolve(wanted)
    assert frequency(generator, made) == pytest.approx(made.mhz, rel=1e-12)


def frequency(generator: ClockGenerator, made: ClockSetting) -> float:
    """What the settings give, by the equation of each primitive's manual."""
    s = made.settings
    if isinstance(generator, PsClock):
        assert 1 <= s["divisor0"] <= 63
        assert 1 <= s["divisor1"] <= 63
        return generator.pll_mhz / (s["divisor0"] * s["divisor1"])
    if not isinstance(generator, PllClock):
        return made.mhz
    f = generator.input_mhz
    match generator.kind if s else "":
        case "":
            return f
        case "mmcm":
            vco = f * s["CLKFBOUT_MULT_F"] / s["DIVCLK_DIVIDE"]
            assert (8 * s["CLKFBOUT_MULT_F"]).is_integer()
            assert (8 * s["CLKOUT0_DIVIDE_F"]).is_integer()
            assert s["CLKOUT0_DIVIDE_F"] == 1 or 2 <= s["CLKOUT0_DIVIDE_F"] <= 128
            return vco / s["CLKOUT0_DIVIDE_F"]
        case "ecp5_pll":  # CLKOP is what is compared with the input, so the VCO runs CLKOP_DIV times as fast
            assert all(1 <= v <= 128 for v in s.values())
            return f / s["CLKI_DIV"] * s["CLKFB_DIV"] * s["CLKOP_DIV"] / s["CLKOS_DIV"]
        case _:
            assert 0 <= s["DIVR"] <= 15
            assert 0 <= s["DIVF"] <= 127
            assert 1 <= s["DIVQ"] <= 6
            return f * (s["DIVF"] + 1) / (2 ** s["DIVQ"] * (s["DIVR"] + 1))


@pytest.mark.parametrize("wanted", [0.0, -1.0, math.nan, math.inf, -math.inf, 1e9, 1e-9])
@pytest.mark.parametrize("name", GENERATORS)
def test_what_is_out_of_reach_is_refused_with_the_range(name: str, wanted: float) -> None:
    generator = GENERATORS[name]
    with pytest.raises(InputError) as caught:
        generator.resolve(wanted)
    assert str(caught.value) == f"a clock of {wanted:g} MHz is out of reach: {generator.kind} makes " + (
        generator.range_text()
    )


@pytest.mark.parametrize("name", GENERATORS)
def test_every_frequency_in_the_range_of_the_message_is_accepted(name: str) -> None:
    low, high = (float(word) for word in GENERATORS[name].range_text().removesuffix(" MHz").split(" to "))
    for wanted in (low, high):
        assert GENERATORS[name].resolve(wanted).mhz <= wanted


def test_a_zynqmp_asked_for_200_makes_187_5_and_a_zynq_7000_makes_200() -> None:
    assert load_board("zcu104").resolve_clock(200).mhz == 187.5
    assert load_board("pynq-z2").resolve_clock(200) == ClockSetting(200.0, {"divisor0": 5, "divisor1": 1})
    assert load_board("pynq-z2").resolve_clock(150).mhz == 1000 / 7


def test_the_oscillator_itself_needs_no_pll() -> None:
    assert load_board("icebreaker").resolve_clock(15).mhz == 12.0
    assert load_board("arty-a7-35t").resolve_clock(100) == ClockSetting(100.0, {})


@pytest.mark.parametrize("name", list_boards())
def test_the_default_clock_of_a_board_is_one_it_makes(name: str) -> None:
    board = load_board(name)
    assert board.resolve_clock(board.default_clock_mhz).mhz == board.default_clock_mhz


def test_a_board_is_named_when_it_cannot_make_a_clock() -> None:
    with pytest.raises(InputError) as caught:
        load_board("pynq-z2").resolve_clock(300)
    assert str(caught.value) == "board pynq-z2: a clock of 300 MHz is out of reach: zynq7 makes 0.252 to 250 MHz"
