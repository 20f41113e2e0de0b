"""One part has one name, however a tool writes it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow.hls.part import canonical_part, same_part


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("xc7z020clg400-1", "xc7z020clg400-1"),
        ("xc7z020-clg400-1", "xc7z020clg400-1"),
        ("7z020clg400-1", "xc7z020clg400-1"),
        ("XC7Z020-CLG400-1", "xc7z020clg400-1"),
        ("7a35ticsg324-1L", "xc7a35ticsg324-1L"),
        ("xc7z007sclg225-1", "xc7z007sclg225-1"),
        ("xc7z007s-clg225-2", "xc7z007sclg225-2"),
        ("7a200tffv1156-2", "xc7a200tffv1156-2"),
        ("xc7s50csga324-1", "xc7s50csga324-1"),
        ("xcku3pffva676-2", "xcku3p-ffva676-2"),
        ("xcku3p-ffva676-2-e", "xcku3p-ffva676-2-e"),
        ("xczu3eg-sbva484-1-e", "xczu3eg-sbva484-1-e"),
        ("xcu250-figd2104-2L-e", "xcu250-figd2104-2L-e"),
        ("xcu250figd2104-2L", "xcu250-figd2104-2L"),
        ("xck26-sfvc784-2LV-c", "xck26-sfvc784-2LV-c"),
        ("xcvu13p-flga2577-2-e", "xcvu13p-flga2577-2-e"),
        ("xcu55c-fsvh2892-2L-e", "xcu55c-fsvh2892-2L-e"),
        ("LFE5U-85F-6BG381C", "LFE5U-85F-6BG381C"),
        (" something else ", "something else"),
    ],
)
def test_a_part_is_named_as_vivado_wants_it(written: str, name: str) -> None:
    assert canonical_part(written) == name
    assert canonical_part(name) == name


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("7z020clg400-1", "xc7z020-clg400-1", True),
        ("7z020-clg400", "xc7z020clg400-1", True),
        ("xcu250figd2104-2L", "xcu250-figd2104-2L-e", True),
        ("xc7z020clg400-1", "xc7z020clg400-2", False),
        ("xc7z020clg400-1", "xc7z010clg400-1", False),
        ("xc7z020clg400-1", "xc7z020clg484-1", False),
        ("xc7z020clg400-1", "xc7z020clg400-1L", False),
    ],
)
def test_parts_are_compared_by_what_they_are(one: str, other: str, same: bool) -> None:
    assert same_part(one, other) is same_part(other, one) is same


@given(st.text(max_size=40))
def test_any_text_keeps_its_meaning(text: str) -> None:
    assert canonical_part(canonical_part(text)) == canonical_part(text)
