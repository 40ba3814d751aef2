# SPDX-License-Identifier: Apache-2.0
"""Finds the names in a C source: types, members, system calls, headers.

`headers.types` and `headers.tree` call it. The module reads tokens without a C parser: the result may have more names
than the source uses, never fewer. The compiler decides.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from probed.frozen import frozen

_NOISE = re.compile(
    r"""//(?:[^\\\n]|\\.)* | /\*.*?\*/ | (?P<text>"(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*')""",
    re.DOTALL | re.VERBOSE,
)
# Patterns of `find_names` alone: Python compiles them at the first use, which a load of objects has not.
_INCLUDE = r"(?m)^[ \t]*#[ \t]*include\b[^\n<]*(?:<([^>\n]*)>)?.*$"
_ATTRIBUTE = r"__attribute__\s*\(\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)\)"
_NAME = r"[A-Za-z_]\w*"
_TAG = r"\b(struct|union|enum)\s+([A-Za-z_]\w*)\s*([{;]?)"
# Neither passes its own keyword: else each of many would be followed to the end of the source.
_TYPEDEF = r"\btypedef\b(?:(?!\btypedef\b)[^;{}]|\{[^{}]*\})*?\b(\w+)\s*(?:\[\w*\]\s*)?;"
_ENUM = r"\benum\b(?:(?!\benum\b)[^{};()])*\{([^{}]*)\}"
_DEFINE = r"(?m)^[ \t]*#[ \t]*define[ \t]+(\w+)"

_BEFORE_TYPE = r"(?<!\.)(?<!->)"
_AS_TYPE = rf"{_BEFORE_TYPE}\b([A-Za-z_]\w*)\s*(?:\*[\s*]*)?(?=[,)]|\b[A-Za-z_])"
_SCALAR = r"(?:(?:__)?[us](?:8|16|32|64)|\w+_t|bool|char|short|int|long|signed|unsigned|void)"
_DECLARED = rf"\b(?:{_SCALAR}|(?:struct|union|enum)\s+\w+)\b[\s*]*\b([A-Za-z_]\w*)"
_MACRO_ARGUMENT = r"\b[A-Z][A-Z0-9_]*\(\s*([A-Za-z_]\w*)\s*[,)]"


MAX_NAME = 1024
"""Characters of a name in C: clang compares a longer one that it does not know with all others for minutes."""

_LONG_NAME = re.compile(rf"\b\w{{{MAX_NAME + 1},}}")

_PROGRAM = re.compile(r"\bPROGRAM\(\s*(\w+)\s*\)")


@dataclass(frozen=True, slots=True, order=True)
class Tag:
    """A type as C names it: ``struct name``, ``union name`` or ``enum name``."""

    keyword: str
    name: str

    def __str__(self) -> str:
        return f"{self.keyword} {self.name}"


@frozen
class CNames:
    """The names in a source.

    `names` are all names. `tags` are the structs, unions and enums that the source does not define, `declared` the
    tags that the source only declares (``struct name;``); `aliases` are names where a typedef may stand; `defined` are
    the source's own tags, typedefs, enum constants and macros; `includes` are the paths in ``#include <...>``, in
    order.
    """

    names: frozenset[str]
    tags: frozenset[Tag]
    declared: frozenset[Tag]
    aliases: frozenset[str]
    defined: frozenset[str]
    includes: tuple[str, ...]


def find_names(source: str) -> CNames:
    """Find the names of a C source outside comments and literals."""
    text = _NOISE.sub(_blank, source.replace("\\\n", " "))
    includes = tuple(dict.fromkeys(path for path in re.findall(_INCLUDE, text) if path))
    text = re.sub(_ATTRIBUTE, " ", re.sub(_INCLUDE, "", text))
    tags = [(Tag(keyword, name), ending) for keyword, name, ending in re.findall(_TAG, text)]
    own_tags = {tag.name for tag, ending in tags if ending == "{"}
    defined = {*own_tags, *re.findall(_TYPEDEF, text), *re.findall(_DEFINE, text), *_constants(text)}
    return CNames(
        names=frozenset(re.findall(_NAME, text)),
        tags=frozenset(tag for tag, _ in tags if tag.name not in own_tags),
        declared=frozenset(tag for tag, ending in tags if ending == ";"),
        aliases=_aliases(text) - defined,
        defined=frozenset(defined),
        includes=includes,
    )


def programs(source: str) -> list[str]:
    """Find the programs that a C source begins with ``PROGRAM(name)``, in order."""
    return list(dict.fromkeys(_PROGRAM.findall(_NOISE.sub(_blank, source))))


def long_name(source: str) -> tuple[int, str] | None:
    """Return line and name of the first name with more than `MAX_NAME` characters outside comments and literals."""
    text = _NOISE.sub(lambda noise: _blank(noise) + "\n" * noise[0].count("\n"), source)
    found = _LONG_NAME.search(text)
    return (text.count("\n", 0, found.start()) + 1, found[0]) if found else None


def _blank(noise: re.Match[str]) -> str:
    return '""' if noise["text"] else " "


def _constants(text: str) -> list[str]:
    entries = (entry for body in re.findall(_ENUM, text) for entry in body.split(","))
    return [name[0] for name in (re.search(_NAME, entry) for entry in entries) if name]


def _aliases(text: str) -> frozenset[str]:
    """Find names before another name, a star, a comma or a bracket, except the source's variables and maps.

    A typedef clashes with another meaning of a name only at file level, which has the variables and maps.
    """
    own = {*re.findall(_DECLARED, text), *re.findall(_MACRO_ARGUMENT, text)}
    return frozenset(re.findall(_AS_TYPE, text)) - own
