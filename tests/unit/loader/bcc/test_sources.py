# SPDX-License-Identifier: Apache-2.0
"""The text for the compiler: paths of any form in its directives."""

import os

import pytest

from probed.loader.bcc.sources import line_directive


@pytest.mark.parametrize(
    ("path", "quoted"),
    [
        ("/a b/é.bpf.c", "/a b/é.bpf.c"),
        (os.fsdecode(b"/caf\xe9"), r"/caf\\xe9"),
        ('/a"b', r"/a\"b"),
        (r"/a\b", r"/a\\b"),
        ("/a\nb\tc", "/a\\\\nb\tc"),
        ("/a\x1bb", r"/a\\x1bb"),
    ],
)
def test_a_path_is_one_literal_of_c(path: str, quoted: str) -> None:
    assert line_directive(3, path) == f'#line 3 "{quoted}"'
