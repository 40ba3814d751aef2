# SPDX-License-Identifier: Apache-2.0
"""`probed doctor`: `facts` gathers, `rules` decides, `report` shows, `command` is all three."""
