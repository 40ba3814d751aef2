# SPDX-License-Identifier: Apache-2.0
"""The image of all engines, the wrappers of the runtimes, and the storage, in a booted system.

The image has the program of a pod's sandbox, and else only links into /usr, which each container gets from the system,
with the programs in /out. Storage is plain copies on tmpfs, since the system's root is an overlay already.

The kernel of a test may lack cgroup2's controllers, and root may lack CAP_SYS_RESOURCE. So wrappers of runc and crun
remove limits from a container's configuration first.
"""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Final

from support.system.machine import OUT, Machine

IMAGE: Final = "localhost/probed-test:1"

LINKS: Final = ("bin", "lib", "lib64", "sbin")
FOLDERS: Final = ("dev", "etc", "out", "proc", "run", "sys", "tmp", "usr", "var")

PAUSE: Final = ("/pause", "1000000000")
"""The command of a pod's sandbox: waits for eleven days."""

ARCHIVE: Final = OUT / "image.tar"
"""The image with its command, as `docker save` and `podman save` write images."""

STAYS: Final = (OUT / "bin/lives", "1000000000")
"""The command of a container in which a test runs others."""

WITHOUT_LIMITS: Final = """\
#!/usr/bin/python3
import json, os, pathlib, sys
arguments = sys.argv[1:]
if "--bundle" in arguments:
    path = pathlib.Path(arguments[arguments.index("--bundle") + 1], "config.json")
    configuration = json.loads(path.read_text())
    configuration["linux"].pop("resources", None)
    configuration["process"].pop("rlimits", None)
    configuration["process"].pop("oomScoreAdj", None)
    path.write_text(json.dumps(configuration))
os.execv("/usr/{folder}/{runtime}", ["{runtime}", *arguments])
"""

RUNTIMES: Final = {"runc": "sbin", "crun": "bin"}
"""Debian's runtimes of containers, and their folders below /usr."""


def wrapper(runtime: str) -> Path:
    """Return the path of a runtime's wrapper."""
    return OUT / "bin" / f"{runtime}-without-limits"


def prepare(machine: Machine) -> None:
    """Write image and wrappers, and mount the storage of the engines."""
    for runtime, folder in RUNTIMES.items():
        path = machine.out / "bin" / wrapper(runtime).name
        path.write_text(WITHOUT_LIMITS.format(runtime=runtime, folder=folder))
        path.chmod(0o755)
    for folder in ("containerd", "containers/storage", "docker", "docker-cgroupfs"):
        machine.run("mkdir", "-p", f"/var/lib/{folder}")
        machine.run("mount", "-t", "tmpfs", "tmpfs", f"/var/lib/{folder}")
    _write_files(machine.out / "files.tar", machine.out / "bin/lives")


def mounts(option: str, form: str) -> list[str]:
    """Return a command line's options that bind /usr and the programs into a container."""
    return [word for folder in ("/usr", str(OUT)) for word in (option, form.format(folder))]


def _write_files(path: Path, pause: Path) -> None:
    """Write the image's files as a tar archive."""
    with tarfile.open(path, "w") as archive:
        for name in LINKS:
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, f"usr/{name}"
            archive.addfile(link)
        for name in FOLDERS:
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(folder)
        archive.add(pause, PAUSE[0])
