# SPDX-License-Identifier: Apache-2.0
"""Facts on descriptors: their fields, and which of them are one file."""

import os

from probed.linux import fdinfo


def test_fields_are_what_stands_before_and_behind_the_first_colon() -> None:
    text = "pos:\t0\nflags:\t02000002\nlink_type:\traw_tracepoint\nprog_tag:\tab:cd\n"
    assert fdinfo.parse(text) == {"pos": "0", "flags": "02000002", "link_type": "raw_tracepoint", "prog_tag": "ab:cd"}


def test_copies_of_a_descriptor_are_one_file_and_two_files_are_not() -> None:
    one, other = os.memfd_create("some"), os.memfd_create("some")
    copy = os.dup(one)
    assert fdinfo.identity(one) == fdinfo.identity(copy) != fdinfo.identity(other)
    for fd in (one, other, copy):
        os.close(fd)
