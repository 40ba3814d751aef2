# SPDX-License-Identifier: Apache-2.0
"""Daemons with short time limits: time-outs and retries come within seconds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from support.faulty_daemon import FastDaemon, StartFast


@pytest.fixture
def start_fast(tmp_path: Path) -> Iterator[StartFast]:
    """Starts daemons with short time limits for one test, and returns each when ready."""
    with ExitStack() as daemons:

        def start_fast(configuration: Mapping[str, Any], *under: str, **variables: str) -> FastDaemon:
            return daemons.enter_context(
                FastDaemon(tmp_path, configuration, under=under, **variables)
            ).wait_until_ready()

        yield start_fast
