# SPDX-License-Identifier: Apache-2.0
"""``python -m support.fast_daemon run …`` is ``probed run`` with time limits of seconds instead of minutes."""

from __future__ import annotations

import sys
from functools import partial

from probed.__main__ import main
from probed.ipc import loader_process
from probed.supervisor import probe_states

LOADER_SECONDS = 8.0
RETRY_SECONDS = 1.0

if __name__ == "__main__":
    loader_process.SECONDS_A_PROBE = LOADER_SECONDS
    probe_states.FIRST_RETRY = probe_states.LAST_RETRY = RETRY_SECONDS
    probe_states.ProbeState = partial(probe_states.ProbeState, retry_in=RETRY_SECONDS)  # type: ignore[assignment,misc]
    sys.exit(main())
