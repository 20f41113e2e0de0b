"""Part names: AMD's tools write the same part in several ways, and this makes them one.

Vivado HLS has ``xc7z020-clg400-1`` where Vivado has ``xc7z020clg400-1`` and its reports have ``7z020clg400-1``;
UltraScale+ parts are ``xcku3p-ffva676-2-e``, in older reports ``xcku3pffva676-2``.
"""

from __future__ import annotations

import re

# Package codes of 7-series (UG475, UG865) and of UltraScale(+) and Alveo (UG575, UG1075): two letters for the kind,
# g or v for lead-free, one letter more for the footprint of UltraScale+ and of small Spartan-7.
_PACKAGE = r"(?:cl|cs|cp|fb|ff|ft|fg|fh|fl|rb|rf|rs|sb|sf|fs|fi|ub|vs|ls|ns|vf|vi)[gvq]?[a-j]?\d{3,4}"
_PART = re.compile(
    rf"(?P<device>(?:x[acq][a-z]?)?[0-9a-z]+)-?(?P<package>{_PACKAGE})(?P<rest>(?:-[0-9a-z]+)*)", re.IGNORECASE
)


def canonical_part(name: str) -> str:
    """``name`` as Vivado's commands want it: ``xc7z020clg400-1``, ``xczu3eg-sbva484-1-e``.

    Names that are not AMD parts of a known package come back as they are, without surrounding blanks.
    """
    text = name.strip()
    match = _PART.fullmatch(text)
    if not match:
        return text
    device = match["device"].lower()
    if device[0].isdigit():
        device = "xc" + device
    dash = "" if re.match(r"x[a-z]{1,2}7", device) else "-"
    # The speed grade keeps its case: -2L and -1LV are capitals in Vivado.
    return f"{device}{dash}{match['package'].lower()}{match['rest']}"


def same_part(one: str, other: str) -> bool:
    """Whether two names mean the same part; a name without grades (as in timing reports) matches any grade."""
    a, b = canonical_part(one).lower(), canonical_part(other).lower()
    shorter, longer = sorted((a, b), key=len)
    return longer == shorter or longer.startswith(shorter + "-")
