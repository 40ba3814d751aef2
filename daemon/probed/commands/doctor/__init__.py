# SPDX-License-Identifier: Apache-2.0
"""`probed doctor`: `facts` gathers, `rules` decides, `report` formats, and `command` calls the three."""
