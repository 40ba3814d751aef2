# SPDX-License-Identifier: Apache-2.0
"""From keys to label sets: the text of each label, or None where a rule drops the event.

`table` and `gauges` call `label_sets` once for each new key. The label set `other` of the overflow stays apart from a
real one with the same text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from probed.exporter.arrays.ndarray import NDArray
from probed.exporter.decoders.fold import Decoder
from probed.ipc.manifest import Field

Labels = tuple[str, ...]

OTHER_TEXT = "other"
"""Every label value of the series for label sets without a series of their own."""

_CLAIMS_OTHER = re.compile(rf"\\*{OTHER_TEXT}")


def label_sets(keys: NDArray[Any], fields: Sequence[Field], decoders: Sequence[Decoder]) -> list[Labels | None]:
    """Return the label set of each key, shape (words, n) as of `records.key_words`; None where a decoder drops it."""
    columns = key_columns(keys, fields)
    texts = [_decoded(decode, column) for decode, column in zip(decoders, columns, strict=True)]
    return list(map(_label_set, zip(*texts, strict=True)))


def _decoded(decode: Decoder, column: Sequence[int | bytes]) -> list[str | None]:
    """Return the text of each value; a value that occurs several times is decoded once."""
    text_of = {value: decode(value) for value in set(column)}
    return [text_of[value] for value in column]


def _label_set(texts: tuple[str | None, ...]) -> Labels | None:
    whole = tuple(text for text in texts if text is not None)
    if len(whole) < len(texts):
        return None
    return whole if whole[0][-len(OTHER_TEXT) :] != OTHER_TEXT else _beside_other(whole)


def _beside_other(texts: Labels) -> Labels:
    r"""Return a label set that never equals the overflow's, distinct for distinct label sets.

    A program may be called `other` too: where all texts are `other` after any number of backslashes, each text gets
    one backslash more.
    """
    if all(map(_CLAIMS_OTHER.fullmatch, texts)):
        return tuple(f"\\{text}" for text in texts)
    return texts


def key_columns(keys: NDArray[Any], fields: Sequence[Field]) -> list[list[int] | list[bytes]]:
    """Return for each field its Python value in every key: an int, or the bytes of the array."""
    columns: list[list[int] | list[bytes]] = []
    at = 0
    for field in fields:
        if field.is_bytes:
            size = max(1, (field.size + 7) // 8)
            columns.append(_bytes(keys[at : at + size], field.size))
            at += size
        else:
            columns.append((keys[at].view(np.int64) if field.type[0] == "s" else keys[at]).tolist())
            at += 1
    return columns


def _bytes(words: NDArray[Any], count: int) -> list[bytes]:
    raw = np.ascontiguousarray(words.T).tobytes()
    return [raw[at : at + count] for at in range(0, len(raw), 8 * len(words))]
