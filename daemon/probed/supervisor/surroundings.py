# SPDX-License-Identifier: Apache-2.0
"""Undoes inherited state that would disturb the supervisor and its children. `probed run` calls it first.

Such state comes from the starter: a shell, cron, another daemon.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import warnings

NEEDED_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


def settle() -> None:
    """Set signals, standard files, current directory, warnings and the limit of file sizes to their usual state."""
    _open_standard_files()
    # With SIGCHLD ignored the kernel reaps children itself, and wait(2) returns no exit status.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, NEEDED_SIGNALS)
    _leave_deleted_directory()
    _ignore_warning_options()
    _raise_file_size_limit()


def _open_standard_files() -> None:
    """Open closed descriptors below 3 on /dev/null, so that no other file gets these numbers."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 - as long as the process
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115


def _leave_deleted_directory() -> None:
    """Go to / if the current directory has been deleted: clang needs one that exists."""
    try:
        os.getcwd()
    except FileNotFoundError:
        os.chdir("/")


def _ignore_warning_options() -> None:
    """Forget PYTHONWARNINGS: `error` would turn deprecations of the libraries into failed loads."""
    if os.environ.pop("PYTHONWARNINGS", None) is not None:
        sys.warnoptions.clear()
        warnings.resetwarnings()
        warnings.simplefilter("ignore")


def _raise_file_size_limit() -> None:
    """Raise the limit of file sizes, which also holds for memory files, as far as this process may."""
    unlimited = resource.RLIM_INFINITY
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (unlimited, unlimited))
    except (ValueError, PermissionError):  # without CAP_SYS_RESOURCE
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
