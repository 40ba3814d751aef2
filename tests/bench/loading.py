# SPDX-License-Identifier: Apache-2.0
"""Peak memory of the loader: ``python -m bench.loading FILE`` writes the bytes, for the probes of a site.

`starting` runs it as a process of its own, since the kernel tells the peak of ended children together.
"""

from __future__ import annotations

import os
import resource
import sys

from probed.config import files
from probed.errors import LoadError
from probed.ipc.loader_process import load_all

BTF = "/sys/kernel/btf/vmlinux"


def main(config_file: str) -> None:
    """Load the probes, attach them for a moment, and write the loader's peak. Raises LoadError."""
    configuration, text = files.read_site(config_file)
    declared = files.declared_probes(configuration, text, BTF)
    for result in load_all([each.request for each in declared.values()], "verify").values():
        if isinstance(result, LoadError):
            raise result
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10
    os.write(1, f"{peak}\n".encode())


if __name__ == "__main__":
    main(sys.argv[1])
