"""The header that every text report of Vivado begins with."""

from __future__ import annotations

import re

from flow.hls.part import canonical_part
from flow.hls.reports.model import Kind, Origin
from flow.hls.reports.text import Text, header


def vivado_origin(text: Text, kind: Kind, needed: tuple[str, ...] = ()) -> tuple[Origin, dict[str, str]]:
    """(origin, all header fields). Raises InputError if the header lacks one of ``needed`` or what names the tool."""
    fields = header(text)
    for key in ("Tool Version", "Design", "Device", *needed):
        if not fields.get(key):
            raise text.error(f"no {key!r} in the header: the report is incomplete or of another kind")
    match = re.match(r"(Vivado) v\.?(20\d\d\.\d[\d.]*)", fields["Tool Version"])
    if not match:
        raise text.error(f"not a release of Vivado: {fields['Tool Version'][:60]!r}")
    device = fields["Device"]
    # Timing reports have the speed grade in a line of its own: "-2  PRODUCTION 1.23 2018-06-13".
    grade = re.match(r"-\w+(?=\s|$)", fields.get("Speed File", ""))
    if grade:
        device += grade[0]
    return Origin(kind, str(text.path), match[1], match[2], canonical_part(device), fields["Design"]), fields
