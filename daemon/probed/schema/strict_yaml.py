# SPDX-License-Identifier: Apache-2.0
"""Parses a strict dialect of YAML to plain data, with a line for every key path.

The parser refuses duplicate keys, anchors, aliases, tags, merge keys, several documents, and scalars that YAML 1.1
reads as another type than a person does. The composer is PyYAML's in Python, on the events of libyaml, which is ten
times as fast as PyYAML's own parser. libyaml has other messages, so PyYAML parses a refused text again. The module
reads no files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final, TypeVar

import yaml
from yaml.composer import Composer
from yaml.resolver import Resolver

from probed.errors import DeclarationError, Problem
from probed.frozen import frozen
from probed.schema import structure
from probed.schema.structure import Key, Source

T = TypeVar("T")

OFF: Final = "off"
"""A word that YAML 1.1 reads as false, and that is text here: no key takes both the text and a truth value."""

_TAG: Final = "tag:yaml.org,2002:"
_MAX_DEPTH: Final = 32
_INT: Final = re.compile(r"[-+]?(0|[1-9][0-9]{0,19})|0x[0-9a-fA-F]{1,16}")
_FLOAT: Final = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+][0-9]+)?|[-+]?\.(inf|nan)", re.IGNORECASE)
_EXPONENT: Final = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+")

_PYYAML_ONLY: Final = frozenset("\t\ufeff")
"""Characters of texts that only PyYAML's own parser reads."""

_SYNTAX: Final = (
    ("'\\t'", "YAML is indented and separated with spaces, not with tabs"),
    ("mapping values are not allowed here", "a second ': ' on one line; put text that holds ': ' in quotes"),
    ("cannot start any token", "text cannot start with this character; put it in quotes"),
    ("could not find expected ':'", "a key without ': ' after it"),
    ("while scanning an escape", "put text with a backslash in single quotes"),
    ("while parsing a flow", "the list or mapping in brackets is not closed, or a comma is missing"),
    ("expected <block end>", "the indentation differs from that of the lines above"),
    ("unexpected end of stream", "the quotes that open here are not closed"),
    ("single document", "one document a file; remove the line '---' and what follows"),
)


@frozen
class Document:
    """Plain data, the lines of its key paths, and the problems of the text itself."""

    data: Any
    source: Source
    problems: tuple[Problem, ...]


def parse(cls: type[T], text: str, path: str, **givens: object) -> T:
    """Build an object of dataclass `cls` from YAML text; `givens` are fields that are no keys of the text.

    `path` is the file as the user named it. Raises DeclarationError with every Problem of text and structure, ordered
    by line. At a key path with a problem of the text, problems of the structure are left out as consequences.
    """
    document = read(text, path)
    if document.data is None and structure.required(cls):
        raise DeclarationError([document.source.problem((), "the file is empty; add at least one key")])
    value, problems = structure.attempt(cls, document.data, document.source, **givens)
    refused = {problem.key for problem in document.problems}
    problems = [*document.problems, *(problem for problem in problems if problem.key not in refused)]
    if value is None or problems:
        raise DeclarationError(sorted(problems))
    return value


def read(text: str, path: str) -> Document:
    """Parse YAML text as one document of dict, list and scalars.

    The data of a text without any key is None. Raises DeclarationError for text that is no YAML.
    """
    try:
        root, refused = _composed(text)
    except yaml.YAMLError as error:
        raise DeclarationError([_syntax_problem(error, text, path)]) from error
    if root is None:
        return Document(None, Source(path, {(): 1}), ())
    return _Walk(refused).document(root, path)


def _composed(text: str) -> tuple[yaml.Node | None, Mapping[int, str]]:
    """Return the root, and why anchors, aliases and tags are refused, by node. Raises YAMLError of PyYAML's parser.

    libyaml takes tabs between tokens and a byte order mark anywhere, which PyYAML refuses.
    """
    if yaml.__with_libyaml__ and not _PYYAML_ONLY & set(text):
        with suppress(yaml.YAMLError, UnicodeEncodeError):
            return _Composer(yaml.CSafeLoader(text)).composed()
    return _Composer(yaml.SafeLoader(text)).composed()


class _Composer(Composer, Resolver):
    """PyYAML's composer, which also notes refused anchors, aliases and tags, by node."""

    def __init__(self, parser: Any) -> None:
        """Compose the events of a parser."""
        Composer.__init__(self)
        Resolver.__init__(self)
        self.check_event, self.peek_event, self.get_event = parser.check_event, parser.peek_event, parser.get_event
        self.refused: dict[int, str] = {}
        self.depth = 0

    def composed(self) -> tuple[yaml.Node | None, Mapping[int, str]]:
        """Return root and refused nodes. Raises YAMLError."""
        return self.get_single_node(), self.refused

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            return self._alias(self.get_event())
        if self.depth == _MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem=f"more than {_MAX_DEPTH} levels", problem_mark=event.start_mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        if event.anchor is not None:
            self.refused[id(node)] = f"anchor '&{event.anchor}': write the value out where it is needed"
        elif event.tag is not None:
            tag = event.tag.replace(_TAG, "!!")
            self.refused[id(node)] = f"tag '{tag}': write the value without it"
        return node

    def _alias(self, event: Any) -> yaml.Node:
        node = yaml.ScalarNode(_TAG + "str", f"*{event.anchor}", event.start_mark, event.end_mark)
        self.refused[id(node)] = f"alias '*{event.anchor}': write the value out here"
        return node


class _Walk:
    """One walk over the nodes."""

    def __init__(self, refused: Mapping[int, str]) -> None:
        self.refused = refused
        self.lines: dict[Key, int] = {}
        self.faults: list[tuple[int, Key, str]] = []

    def document(self, root: yaml.Node, path: str) -> Document:
        self.lines[()] = _line(root)
        data = self.value(root, ())
        problems = tuple(Problem(path, line, ".".join(map(str, at)), text) for line, at, text in self.faults)
        return Document(data, Source(path, self.lines), problems)

    def fault(self, node: yaml.Node, at: Key, text: str) -> None:
        self.faults.append((_line(node), at, text))

    def value(self, node: yaml.Node, at: Key) -> Any:
        if id(node) in self.refused:
            self.fault(node, at, self.refused[id(node)])
        if isinstance(node, yaml.MappingNode):
            return dict(self.pairs(node, at))
        if isinstance(node, yaml.SequenceNode):
            return [self.item(item, (*at, index)) for index, item in enumerate(node.value)]
        return self.scalar(node, at)

    def item(self, node: yaml.Node, at: Key) -> Any:
        self.lines[at] = _line(node)
        return self.value(node, at)

    def pairs(self, node: yaml.MappingNode, at: Key) -> Iterator[tuple[str | int, Any]]:
        seen: dict[str | int, int] = {}
        for key_node, value_node in node.value:
            name = self.name(key_node, at)
            if name is None:
                continue
            below = (*at, name)
            if name in seen:
                self.fault(
                    key_node,
                    below,
                    f"this key is there twice, first on line {seen[name]}; remove one of them",
                )
                continue
            seen[name] = self.lines[below] = _line(key_node)
            yield name, self.value(value_node, below)

    def name(self, node: yaml.Node, at: Key) -> str | int | None:
        """Return a mapping's key, or None after noting a fault."""
        if not isinstance(node, yaml.ScalarNode):
            self.fault(node, at, "a key must be one word or number, not a list or mapping")
            return None
        text = str(node.value)
        if id(node) in self.refused:
            self.fault(node, (*at, text), self.refused[id(node)])
        if node.tag == _TAG + "merge":
            self.fault(node, (*at, text), "merge key '<<': write the keys out here")
            return None
        value = self.scalar(node, (*at, text))
        if value is None:
            self.fault(node, at, f"the key '{text}' is YAML for nothing; put it in quotes")
            return None
        if isinstance(value, float | bool):
            self.fault(node, (*at, text), f"a key must be a word or an integer; put '{text}' in quotes")
            return text
        return value

    def scalar(self, node: yaml.Node, at: Key) -> str | int | float | None:
        """Return a scalar of the type that PyYAML resolved.

        A scalar that YAML 1.1 misreads is a fault, and stays text.
        """
        text = str(node.value)
        if node.style or text == OFF or id(node) in self.refused:  # type: ignore[attr-defined]
            return text
        kind = node.tag.removeprefix(_TAG)
        if kind == "null":
            return None
        if kind == "bool" and text.lower() in ("true", "false"):
            return text.lower() == "true"
        if kind == "int" and _INT.fullmatch(text):
            return int(text, 0)
        if kind == "float" and _FLOAT.fullmatch(text):
            return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        if surprise := _surprise(kind, text):
            self.fault(node, at, surprise)
        return text


def _surprise(kind: str, text: str) -> str:
    """Return the reason why a plain scalar is refused, "" for plain text."""
    if kind == "str" and _EXPONENT.fullmatch(text):
        return f"YAML 1.1 reads {text} as text; write the number without exponent, or as 1.0e+3 is written"
    if kind == "bool":
        return f"YAML 1.1 reads '{text}' as true or false; put it in quotes, or write true or false"
    if kind in ("int", "float"):
        ways = "octal, base 60, with '_' or beyond 64 bits"
        return f"YAML 1.1 reads '{text}' as a number ({ways}); put it in quotes, or write a decimal number"
    if kind == "str":
        return ""
    return f"YAML 1.1 reads '{text}' as a {kind}; put it in quotes"


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _syntax_problem(error: yaml.YAMLError, text: str, path: str) -> Problem:
    if isinstance(error, yaml.MarkedYAMLError):
        said = ", ".join(part for part in (error.context, error.problem) if part)
        remedy = next((f"; {remedy}" for sign, remedy in _SYNTAX if sign in said), "")
        mark = error.context_mark if "unexpected end of stream" in said else error.problem_mark
        return Problem(path, mark.line + 1 if mark else 0, "", f"not YAML: {said}{remedy}")
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return Problem(path, line, "", f"the character U+{error.character:04X} is not allowed; remove it")
    return Problem(path, 0, "", f"not YAML: {error}")
