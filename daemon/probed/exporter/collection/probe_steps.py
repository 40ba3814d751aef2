# SPDX-License-Identifier: Apache-2.0
"""The border around one probe's drain and collection: a step that raises costs this probe only."""

from __future__ import annotations

import gc
import logging
from collections import Counter
from collections.abc import Callable, Iterable

from probed.exporter.collection.probe import RunningProbe
from probed.log_limiter import REPEATABLE

LOG = logging.getLogger("exporter")


class ProbeSteps:
    """Takes steps of the running probes; counts and logs the failed ones.

    A step that raises leaves numbers that disagree with each other, perhaps of half a batch. So the probe is made anew
    in `probes`, on the same descriptors, from its last commit.
    """

    def __init__(self, probes: dict[str, RunningProbe]) -> None:
        self._probes = probes
        self._failures: Counter[str] = Counter()

    @property
    def failures(self) -> Counter[str]:
        """Number of failed steps by probe."""
        return self._failures

    def count_failed(self, names: Iterable[str]) -> None:
        """Count one failed step of each of these probes."""
        self._failures.update(names)

    def attempt(self, probe: RunningProbe, step: Callable[[], None], done: str = "collected") -> bool:
        """Take a step; return whether it succeeded. A failure is counted and logged, and the probe made anew."""
        succeeded = self.take(probe, step, done)
        if not succeeded:
            self._failures[probe.loaded.name] += 1
            self.take(probe, lambda: self._renew(probe), "made anew")
        return succeeded

    @staticmethod
    def take(probe: RunningProbe, step: Callable[[], None], done: str = "collected") -> bool:
        """Take a step; log its failure. Return whether it succeeded."""
        try:
            step()
        except Exception as error:  # the border around one probe
            text = f"probe '{probe.loaded.name}': cannot be {done}: {type(error).__name__}: {error}"
            LOG.error("%s", text, exc_info=True, extra=REPEATABLE)
            return False
        return True

    def _renew(self, probe: RunningProbe) -> None:
        self._probes[probe.loaded.name] = probe.renewed()
        gc.collect()  # reference cycles keep the former ring and counters mapped
