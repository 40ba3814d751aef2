# SPDX-License-Identifier: Apache-2.0
"""Writes the arguments of an attach point as C: what ``ctx->args`` of a program has. `probed check` shows them."""

from __future__ import annotations

from typing import Final

from probed.ipc.attach_points import AttachPoint
from probed.loader.btf.format import Kind
from probed.loader.btf.reader import QUALIFIERS, Btf

_NAMED: Final = ("__probestub_", "__bpf_trace_")
"""Functions with the names of a raw tracepoint's arguments: of Linux include/linux/tracepoint.h, since 6.4, and of
include/trace/bpf_probe.h, under the tracepoint's own name unless it shares its arguments with others.
"""

_TAGS: Final = {Kind.STRUCT: "struct", Kind.UNION: "union", Kind.ENUM: "enum", Kind.ENUM64: "enum"}


def arguments(btf: Btf, point: AttachPoint) -> str:
    """Return the arguments with types, and names where the kernel has them: ``struct timer_list *timer, u64 expiry``.

    "" for an attach point of which the kernel's types tell nothing: a pattern, a file, an event, an unknown name.
    """
    if point.kind == "raw_tracepoint":
        return ", ".join(_parameters(btf, _of_tracepoint(btf, point.target))[1:])
    if point.kind in ("fentry", "fexit", "kprobe"):
        return ", ".join(_parameters(btf, _of_function(btf, point.target)))
    return ""


def _of_tracepoint(btf: Btf, name: str) -> int:
    """Return the prototype of a raw tracepoint, 0 for an unknown one; the first argument is ``void *__data``."""
    named = (_of_function(btf, prefix + name) for prefix in _NAMED)
    return next(filter(None, named), 0) or btf.tracepoint_prototype(name)


def _of_function(btf: Btf, name: str) -> int:
    return next((btf.target(type_id) for type_id in btf.find(Kind.FUNC, name)), 0)


def _parameters(btf: Btf, prototype: int) -> list[str]:
    return [_declaration(_c_type(btf, each), name) for name, each in btf.parameters(prototype)] if prototype else []


def _declaration(c_type: str, name: str) -> str:
    if not name:
        return c_type
    return f"{c_type}{name}" if c_type.endswith("*") else f"{c_type} {name}"


def _c_type(btf: Btf, type_id: int) -> str:
    """Write a type as C, a pointer to a function as ``void *``."""
    kind = btf.kind(type_id)
    if kind == Kind.PTR:
        return _pointer(
            "void" if btf.kind(btf.target(type_id)) == Kind.FUNC_PROTO else _c_type(btf, btf.target(type_id))
        )
    if kind == Kind.ARRAY:
        return _pointer(_c_type(btf, btf.array_of(type_id)[0]))
    if kind == Kind.CONST:
        return f"const {_c_type(btf, btf.target(type_id))}"
    if kind in QUALIFIERS and kind != Kind.TYPEDEF:
        return _c_type(btf, btf.target(type_id))
    if kind == Kind.FWD:
        return f"{'union' if btf.flag(type_id) else 'struct'} {btf.name(type_id)}"
    return f"{_TAGS[kind]} {btf.name(type_id)}".rstrip() if kind in _TAGS else btf.name(type_id) or "void"


def _pointer(target: str) -> str:
    return f"{target}*" if target.endswith("*") else f"{target} *"
