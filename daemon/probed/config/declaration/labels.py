# SPDX-License-Identifier: Apache-2.0
"""The key `labels` of a metric: the field and the decoder of each label. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Annotated

from probed.config.declaration.decoders import DecoderName, table_faults
from probed.config.declaration.scalars import CName, Constant
from probed.config.folding.fold_rules import FoldRules
from probed.frozen import frozen
from probed.schema.rules import NOT_EMPTY_LIST, NOT_EMPTY_MAPPING, Line
from probed.schema.structure import Fault, Given, Key


@frozen
class Label:
    """One label of a metric: a field of the C source, and the decoder of its text."""

    at: Given[Key]
    field: Annotated[CName, "The field of 'struct event', or of the maps' key ('key' for a scalar key)."]
    decoder: Annotated[
        DecoderName,
        "The decoder of the text. comm, string, dname and map need a char[N], ip a u32 or a char[16], kernel_stack a "
        "u64[N], others an integer.",
    ]
    table: Annotated[
        Mapping[Constant, Line],
        "For the decoder enum: enum constant of the C, or integer, to text.",
        NOT_EMPTY_MAPPING,
    ] = dataclasses.field(default_factory=dict)
    enum: Annotated[
        CName | None, "For the decoder kernel_enum: the name of the kernel's enum, such as skb_drop_reason."
    ] = None
    texts: Annotated[
        Mapping[str, Line],
        "For the decoder map: text of the field to text of the label; several may have the same.",
        NOT_EMPTY_MAPPING,
    ] = dataclasses.field(default_factory=dict)
    fold: Annotated[
        FoldRules,
        "Rules for the text. The first match counts; a site's rules precede.",
        NOT_EMPTY_LIST,
    ] = ()

    def check(self) -> Iterator[Fault]:
        """Yield arguments of another decoder, and table entries with the same text."""
        yield from table_faults(self.decoder, self.table)
        if self.decoder == "kernel_enum" and self.enum is None:
            yield ("enum",), "decoder 'kernel_enum' needs the kernel's enum, such as 'enum: skb_drop_reason'"
        if self.decoder != "kernel_enum" and self.enum is not None:
            yield ("enum",), f"only decoder 'kernel_enum' has an enum; remove it, or the decoder '{self.decoder}'"
        if self.decoder == "map" and not self.texts:
            yield ("texts",), "decoder 'map' needs texts: {TEXT: text, …}"
        if self.decoder != "map" and self.texts:
            yield ("texts",), f"only decoder 'map' has texts; remove them, or the decoder '{self.decoder}'"
