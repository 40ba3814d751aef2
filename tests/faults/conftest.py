# SPDX-License-Identifier: Apache-2.0
"""Daemons with short time limits: what is to be seen after a time-out or a retry is there within seconds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from support.faulty_daemon import Hasty, StartHasty


@pytest.fixture
def hasten(tmp_path: Path) -> Iterator[StartHasty]:
    """Starts daemons of the test's own that are in a hurry; ready when they are returned."""
    with ExitStack() as daemons:

        def hasten(configuration: Mapping[str, Any], *under: str, **variables: str) -> Hasty:
            return daemons.enter_context(Hasty(tmp_path, configuration, under=under, **variables)).wait_until_ready()

        yield hasten
