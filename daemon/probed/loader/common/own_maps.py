# SPDX-License-Identifier: Apache-2.0
"""Names of the maps that the header defines or the loader adds: no metric reads them."""

from __future__ import annotations

from probed.ipc.manifest import OTHERS_MAPS, OVERFLOW_MAPS, FdName

LAYOUT = "probed_layout"
ROW = "probed_row"
ENUMS = "probed_enums"
"""Maps that show types of the C to BCC's way: event, row, and a struct with an array for each constant."""

STATS = "probed_stats"
RING = "events"
SLOTS = "event_slots"
TURN = "overflow_turn"
STORM = "storm_woken_ns"
OWN_MAPS = (LAYOUT, ROW, ENUMS, STATS, RING, SLOTS, STORM, TURN, *OVERFLOW_MAPS, *OTHERS_MAPS)

RECENT = "_recent"
"""Suffix of a map of `struct recent_count`, after the name of the map of counts."""


def map_name(name: FdName) -> str:
    """Return the name in the C of a map behind a fd."""
    own = {"stats": STATS, "ring": RING, "slots": SLOTS, "turn": TURN, "recent": name.of + RECENT}
    return own.get(name.kind, name.of)
