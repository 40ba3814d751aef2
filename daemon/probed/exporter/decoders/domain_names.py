# SPDX-License-Identifier: Apache-2.0
"""Domain names as on the wire: the decoder `dname`. Pure.

A name is a sequence of labels, each behind a byte with its length; the label of length 0, the root, ends the name. In
text a dot stands between labels. Sources: RFC 1035, sections 3.1 and 5.1; RFC 4343, section 2.1, for escapes and case.
"""

from __future__ import annotations

from collections.abc import Iterator

MOST_OF_LABEL = 63
"""Bytes of a label: RFC 1035, section 2.3.4. Greater numbers are compression pointers (section 4.1.4) or reserved."""

MOST_OF_NAME = 255
"""Bytes of a name with its lengths: RFC 1035, section 2.3.4."""

ROOT = "."

CUT = "[cut]"
"""End of a name that is not there whole."""


def domain_name(value: int | bytes) -> str:
    r"""Return the text of a name in lower case, without the dot of the root at the end.

    Distinct names have distinct texts. Bytes that do not print, and blanks, become ``\DDD`` in decimal; a dot,
    backslash or bracket within a label has a backslash in front. A name that does not end with the root ends with `CUT`
    behind its whole labels: at a compression pointer, which points into a message that is not here, and at the end of
    the array.

    A program may read a name as a string, up to the first 0 and with a 0 in the last place at the latest. So a root in
    the last place counts as cut, and so does a label of which only 0 bytes are left.
    """
    assert isinstance(value, bytes)
    labels = list(_labels(value[: MOST_OF_NAME + 1]))
    return ".".join(labels) or ROOT


def _labels(value: bytes) -> Iterator[str]:
    """Yield the text of each label, at last `CUT` if the name does not end with the root."""
    data = value[:-1].rstrip(b"\0")
    at = 0
    while at < len(data) and data[at]:
        end = at + 1 + data[at]
        if data[at] > MOST_OF_LABEL or end > len(data):
            yield CUT
            return
        yield "".join(map(_character, data[at + 1 : end].lower()))
        at = end
    if at >= len(value) - 1:
        yield CUT


def _character(byte: int) -> str:
    if byte in b".\\[":
        return f"\\{byte:c}"
    return chr(byte) if 0x20 < byte < 0x7F else f"\\{byte:03}"
