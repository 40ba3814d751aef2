# SPDX-License-Identifier: Apache-2.0
"""`probed top`: rates of a running daemon's counters as a full screen, as text and as JSON."""
