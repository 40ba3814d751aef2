# SPDX-License-Identifier: Apache-2.0
"""Finds files that any user could replace: a probe's C becomes code in the kernel.

`files` asks for the site configuration and for each file of a probe. Owners are not compared in general: an
administrator who names a folder trusts its owner.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from probed.linux.privilege import user_name


def why_replaceable(path: str) -> str:
    """Return how any user could replace a file, and the remedy, as the end of a sentence; "" if none can.

    The file and each folder above count. A sticky folder such as /tmp is harmless where the next part of the path
    belongs to root or to this process's user: others cannot replace that part. Nor can they on a read-only mount.
    """
    in_sticky: Path | None = None
    resolved = Path(path).resolve()
    for part in (*reversed(resolved.parents), resolved):
        try:
            status = part.stat()
        except OSError:  # a pipe, such as /dev/stdin
            return ""
        if in_sticky and status.st_uid not in (0, os.geteuid()):
            owner = user_name(status.st_uid)
            return f"every user may add files to {in_sticky}, and '{owner}' added {part}: move it to a folder of root"
        in_sticky = None
        if status.st_mode & stat.S_IWOTH and not _is_read_only(part):
            if not (stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX):
                return f"every user may write to {part}, and so run code in the kernel: chmod o-w {part}"
            in_sticky = part
    return ""


def _is_read_only(path: Path) -> bool:
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
