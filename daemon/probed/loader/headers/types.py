# SPDX-License-Identifier: Apache-2.0
"""Writes the kernel types that a source names as C, each member at the running kernel's offset.

`bcc.compiler` needs the text before a compile. A struct becomes a union of anonymous packed structs, one for
each member that the source names, after as many chars as the member's offset:

    struct task_struct { union {
        struct { char probed_before_tgid[2532]; int tgid; } __attribute__((packed));
        char probed_size[9792];
    }; };

Only this gave right values on every kernel: BCC parses for the host's data layout and generates code for BPF's, and a
full dump of the kernel's types has runs of bit-fields and padding that the two lay out differently. This text leaves
nothing to lay out: no alignment, no bit-field, no unread member.

A name that the kernel does not have gets a declaration of which the compiler refuses the use, with the cause: so the
error has the source's line, and a name in a branch that is not compiled costs nothing.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import NoReturn

from probed.loader.btf.equivalence import outline, shape
from probed.loader.btf.format import Kind, damage
from probed.loader.btf.reader import DEEPEST, Btf, Enumerator, Member
from probed.loader.headers.c_names import CNames, Tag, find_names
from probed.loader.headers.syscall_numbers import runs_ia32
from probed.schema.suggestions import near

BASIC: Mapping[str, str] = {
    "__u8": "unsigned char", "__s8": "signed char", "__u16": "unsigned short", "__s16": "short",
    "__u32": "unsigned int", "__s32": "int", "__u64": "unsigned long long", "__s64": "long long",
    "u8": "__u8", "s8": "__s8", "u16": "__u16", "s16": "__s16", "u32": "__u32", "s32": "__s32",
    "u64": "__u64", "s64": "__s64", "bool": "_Bool", "size_t": "unsigned long", "ssize_t": "long",
    "uintptr_t": "unsigned long", "__le16": "__u16", "__be16": "__u16", "__le32": "__u32", "__be32": "__u32",
    "__le64": "__u64", "__be64": "__u64", "__sum16": "__u16", "__wsum": "__u32",
    "__aligned_u64": "__attribute__((aligned(8))) __u64",
}  # fmt: skip
"""Typedefs that every source has: Linux include/uapi/asm-generic/int-ll64.h and include/linux/types.h."""

_BCC_TAGS = frozenset({"__sk_buff", "xdp_md", "sk_msg_md", "sk_reuseport_md", "btf_ptr"})
"""Structs that BCC's own bpf.h defines; the others there begin with ``bpf_``."""

_KEYWORDS: Mapping[Kind, str] = {Kind.STRUCT: "struct", Kind.UNION: "union"}
_KINDS: Mapping[str, tuple[Kind, ...]] = {
    "struct": (Kind.STRUCT,),
    "union": (Kind.UNION,),
    "enum": (Kind.ENUM, Kind.ENUM64),
}
_INTEGERS: Mapping[int, str] = {1: "char", 2: "short", 4: "int", 8: "long long", 16: "__int128"}
_HAS_IA32 = "PROBED_HAS_IA32"


def types_for(btf: Btf, source: str) -> str:
    """Write the C text of the kernel types that a source needs, to precede the source.

    The text begins with ``#define PROBED_HAS_IA32 1`` where the source asks and the kernel runs 32-bit x86 programs.
    The same BTF and source give the same text. Raises HostError when the BTF is damaged.
    """
    asked = find_names(source)
    ia32 = f"#define {_HAS_IA32} 1\n" if _HAS_IA32 in asked.names and runs_ia32(btf) else ""
    return ia32 + _Writer(btf, asked).write()


def offsets_used(btf: Btf, source: str) -> dict[tuple[str, str], int]:
    """Return the struct members that a source may reach, as (struct, member), with their offsets in bytes.

    A member counts when the source can reach the struct and contains the member's name: perhaps more members than the
    source reads, never fewer. A struct without a tag goes by its typedef. Raises HostError when the BTF is damaged.
    """
    writer = _Writer(btf, find_names(source))
    writer.write()
    return writer.offsets


class _Writer:
    """Types of one source: definitions in an order that C accepts, each after its parts."""

    def __init__(self, btf: Btf, asked: CNames) -> None:
        self.offsets: dict[tuple[str, str], int] = {}
        self._btf = btf
        self._asked = asked
        self._whole = any(name.startswith("PT_REGS_") for name in asked.names)
        self._texts: dict[str, str] = {}
        self._refused: set[str] = set()
        self._claimed: dict[str, int] = {}
        self._open: set[int] = set()
        self._pointed_to: list[tuple[int, str]] = []

    def write(self) -> str:
        tags = [tag for tag in sorted(self._asked.tags) if self._usable(tag.name)]
        for tag in tags:
            self._refuse_unclear(tag)
        for tag in tags:
            self._add_tag(tag)
        for alias in sorted(self._asked.aliases):
            if self._usable(alias) and alias not in BASIC:
                self._add_alias(alias)
        while self._pointed_to:
            self._define_if_read(*self._pointed_to.pop(0))
        return "".join(f"{text}\n" for text in self._texts.values())

    def _usable(self, name: str) -> bool:
        """Say whether C can define a name without a clash with the source or BCC's bpf.h."""
        return (
            name.isascii()
            and name.isidentifier()
            and name not in self._asked.defined
            and name not in _BCC_TAGS
            and not name.startswith("bpf_")
        )

    def _found(self, tag: Tag) -> list[int]:
        return [type_id for kind in _KINDS[tag.keyword] for type_id in self._btf.find(kind, tag.name)]

    def _refuse_unclear(self, tag: Tag) -> None:
        """Refuse a type that the kernel lacks or has several of, before another type refers to it."""
        found = self._found(tag)
        if not found:
            self._add_absent(tag)
        elif len({self._enum(each) if tag.keyword == "enum" else self._shape(each) for each in found}) > 1:
            self._refuse(tag, f"the running kernel has {len(found)} different types '{tag}'")

    def _add_tag(self, tag: Tag) -> None:
        found = self._found(tag)
        if not found or str(tag) in self._refused:
            return
        if tag.keyword == "enum":
            self._texts[str(tag)] = self._enum(found[0])
        elif self._claim(found[0], str(tag)):
            self._define(found[0], str(tag))

    def _add_absent(self, tag: Tag) -> None:
        if self._btf.find(Kind.FWD, tag.name):
            self._texts[str(tag)] = f"{tag};"
        elif tag not in self._asked.declared:
            known = (name for kind in _KINDS[tag.keyword] for name in self._btf.names(kind))
            names = ", ".join(near(tag.name, filter(self._usable, known)))
            self._refuse(tag, f"the running kernel has no '{tag}'{names and f'; near names: {names}'}")

    def _refuse(self, tag: Tag, reason: str) -> None:
        body = f" {{ probed_no_{tag.name} }}" if tag.keyword == "enum" else ""
        self._refused.add(str(tag))
        self._texts[str(tag)] = f'{tag.keyword} __attribute__((unavailable("{reason}"))) {tag.name}{body};'

    def _add_alias(self, alias: str) -> None:
        found = self._btf.find(Kind.TYPEDEF, alias)
        if not found or alias in self._texts:
            return
        below, innermost = self._btf.resolve(found[0])
        kind = self._btf.kind(below)
        if kind in (Kind.VOID, Kind.FUNC_PROTO):
            return
        if len({outline(self._btf, each) for each in found}) > 1:
            reason = f"the running kernel has {len(found)} different types '{alias}'"
            self._texts[alias] = f'typedef int {alias} __attribute__((unavailable("{reason}")));'
        elif kind in _KEYWORDS and self._spelling(below, innermost) == alias:
            self._composite(below, alias, "")
        else:
            self._texts[alias] = f"typedef {self._declare(self._btf.target(found[0]), alias)};"

    def _enum(self, type_id: int) -> str:
        """Define an enum with the constants that the source names, and others for the right width."""
        name, bits = self._btf.name(type_id), 8 * self._btf.size(type_id)
        if not 8 <= bits <= 64:
            self._odd(type_id)
        values = {each.name: each.value for each in self._btf.enumerators(type_id) if self._is_read(each)}
        values[f"probed_largest_{name}"] = (1 << bits - 1) - 1
        if self._btf.signed(type_id):
            values[f"probed_least_{name}"] = -1
        constants = ", ".join(f"{each} = {value}" for each, value in values.items() if self._usable(each))
        return f"enum {name} {{ {constants} }} __attribute__((packed));"

    def _shape(self, type_id: int) -> Hashable:
        return shape(self._btf, type_id, self._asked.names)

    def _define_if_read(self, type_id: int, spelling: str) -> None:
        """Define a struct behind a pointer; without a member that the source reads, it stays opaque."""
        if any(self._btf.members(type_id, self._asked.names)):
            self._define(type_id, spelling)

    def _define(self, type_id: int, spelling: str) -> None:
        if spelling in self._texts:
            return
        body = self._body(type_id, spelling)
        keyword = _KEYWORDS[self._btf.kind(type_id)]
        named = spelling.startswith(f"{keyword} ")
        self._texts[spelling] = f"{spelling} {body};" if named else f"typedef {keyword} {body} {spelling};"

    def _body(self, type_id: int, spelling: str) -> str:
        if type_id in self._open:
            self._odd(type_id)
        self._open.add(type_id)
        whole = self._whole and spelling == "struct pt_regs"
        members = self._btf.members(type_id, None if whole else self._asked.names)
        rows = "".join(f"\t{self._row(member, spelling)}\n" for member in members)
        self._open.remove(type_id)
        return f"{{ union {{\n{rows}\tchar probed_size[{self._btf.size(type_id)}];\n}}; }}"

    def _is_read(self, part: Member | Enumerator) -> bool:
        return part.name in self._asked.names

    def _row(self, member: Member, spelling: str) -> str:
        name, offset = member.name, member.offset
        if member.bit_field:
            reason = f"'{name}' of '{spelling}' is a bit-field, which probed cannot read; read another member"
            return f'char {name} __attribute__((unavailable("{reason}")));'
        if spelling and self._is_read(member):
            self.offsets[spelling.rpartition(" ")[2], name] = offset
        before = f"char probed_before_{name}[{offset}]; " if offset else ""
        return f"struct {{ {before}{self._declare(member.type_id, name)}; }} __attribute__((packed));"

    def _declare(self, type_id: int, name: str, depth: int = 0) -> str:
        """Write the declaration of `name`, which may include stars and dimensions."""
        below, alias = self._btf.resolve(type_id)
        kind = self._btf.kind(below)
        if depth > DEEPEST:
            self._odd(type_id)
        if kind in (Kind.INT, Kind.ENUM, Kind.ENUM64):
            return f"{self._integer(below)} {name}"
        if kind == Kind.PTR:
            return self._pointer(self._btf.target(below), name, depth)
        if kind == Kind.ARRAY:
            element, count = self._btf.array_of(below)
            return self._declare(element, f"{name}[{count}]", depth + 1)
        if kind in (Kind.STRUCT, Kind.UNION):
            return self._composite(below, alias, name)
        if kind == Kind.FWD and name.startswith("*") and self._usable(self._btf.name(below)):
            return f"{'union' if self._btf.flag(below) else 'struct'} {self._btf.name(below)} {name}"
        if kind == Kind.FLOAT or name.startswith("*"):
            return self._bytes(below, name)
        self._odd(type_id)

    def _pointer(self, target: int, name: str, depth: int) -> str:
        below, _ = self._btf.resolve(target)
        if self._btf.kind(below) in (Kind.FUNC_PROTO, Kind.ARRAY):
            return f"void *{name}"
        return self._declare(target, f"*{name}", depth + 1)

    def _composite(self, type_id: int, alias: str, name: str) -> str:
        spelling = self._spelling(type_id, alias)
        if not spelling and not self._btf.name(type_id):
            return f"{_KEYWORDS[self._btf.kind(type_id)]} {self._body(type_id, '')} {name}"
        if not spelling or not self._claim(type_id, spelling):
            return self._bytes(type_id, name)
        if name.startswith("*") and spelling != alias:
            self._pointed_to.append((type_id, spelling))
        else:
            self._define(type_id, spelling)
        return f"{spelling} {name}"

    def _spelling(self, type_id: int, alias: str) -> str:
        """Return the C name of a struct: the tag, else the typedef, else ""."""
        name = self._btf.name(type_id)
        if not self._usable(name or alias) or (not name and alias in BASIC):
            return ""
        return f"{_KEYWORDS[self._btf.kind(type_id)]} {name}" if name else alias

    def _claim(self, type_id: int, spelling: str) -> bool:
        """Say whether a name means this type here; another type of the same name may have come first."""
        if spelling in self._refused:
            return False
        first = self._claimed.setdefault(spelling, type_id)
        return first == type_id or self._shape(first) == self._shape(type_id)

    def _bytes(self, type_id: int, name: str) -> str:
        """Declare an object without a usable C name as bytes, which no source can read members of."""
        return f"void {name}" if name.startswith("*") else f"unsigned char {name}[{self._btf.size(type_id)}]"

    def _integer(self, type_id: int) -> str:
        size, signed = self._btf.size(type_id), self._btf.signed(type_id)
        if size not in _INTEGERS:
            self._odd(type_id)
        if self._btf.name(type_id) == "char":
            return "char"
        return f"{'signed' if signed else 'unsigned'} {_INTEGERS[size]}"

    def _odd(self, type_id: int) -> NoReturn:
        kind, name = self._btf.kind(type_id), self._btf.name(type_id)
        what = f"type {type_id} ({kind.name.lower()} '{name}')"
        raise damage(self._btf.path, f"{what} is not one that a struct of C could have there")
