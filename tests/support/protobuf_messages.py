# SPDX-License-Identifier: Apache-2.0
"""Classes of protobuf messages from tables of fields, made with Google's library."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

Fields = Mapping[str, tuple[int, str]]
"""Number and type by name: a scalar or a message of the same package, with ``repeated`` before."""

_FIELD: Final = descriptor_pb2.FieldDescriptorProto

_SCALARS: Final = {
    "bytes": _FIELD.TYPE_BYTES,
    "bool": _FIELD.TYPE_BOOL,
    "string": _FIELD.TYPE_STRING,
    "double": _FIELD.TYPE_DOUBLE,
    "uint64": _FIELD.TYPE_UINT64,
    "uint32": _FIELD.TYPE_UINT32,
    "int64": _FIELD.TYPE_INT64,
    "int32": _FIELD.TYPE_INT32,
    "sint64": _FIELD.TYPE_SINT64,
    "sint32": _FIELD.TYPE_SINT32,
}


def message_classes(package: str, messages: Mapping[str, Fields]) -> dict[str, Any]:
    """Return a class for each message. Repeated numbers are packed."""
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto2")
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        message.field.extend(_field(package, field, number, kind) for field, (number, kind) in fields.items())
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    names = {name: pool.FindMessageTypeByName(f"{package}.{name}") for name in messages}
    return {name: message_factory.GetMessageClass(found) for name, found in names.items()}


def _field(package: str, name: str, number: int, kind: str) -> descriptor_pb2.FieldDescriptorProto:
    *repeated, of = kind.split()
    label = _FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL
    if of not in _SCALARS:
        return _FIELD(name=name, number=number, label=label, type=_FIELD.TYPE_MESSAGE, type_name=f".{package}.{of}")
    field = _FIELD(name=name, number=number, label=label, type=_SCALARS[of])
    if repeated and of not in ("bytes", "string"):
        field.options.packed = True
    return field
