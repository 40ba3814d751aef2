# SPDX-License-Identifier: Apache-2.0
"""Fold rules in YAML: permitted regular expressions and replacements."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probed.config.folding import fold_defaults
from probed.config.folding.fold_rules import FoldRule
from probed.errors import DeclarationError
from probed.schema import structure
from probed.schema.structure import Source


def rule(**keys: object) -> FoldRule:
    return structure.build(FoldRule, keys, Source("x.yaml"))


def problem(**keys: object) -> str:
    with pytest.raises(DeclarationError) as caught:
        rule(**keys)
    (found,) = caught.value.problems
    return str(found)


def test_a_rule_replaces_or_drops() -> None:
    assert rule(match="a.*", replace="a") == FoldRule("a.*", "a")
    assert rule(match="a", replace="") == FoldRule("a", "")
    assert rule(match="a", drop=True) == FoldRule("a", drop=True)
    assert rule(match="a", replace="b", parts=True) == FoldRule("a", "b", parts=True)


@pytest.mark.parametrize("keys", [{}, {"drop": False}, {"drop": True, "replace": "x"}])
def test_a_rule_says_one_thing(keys: dict[str, object]) -> None:
    assert "needs one of 'replace: TEXT' and 'drop: true'" in problem(match="a", **keys)


def test_a_rule_that_drops_has_no_parts() -> None:
    assert "'drop: true' leaves no text" in problem(match="a", drop=True, parts=True)


@pytest.mark.parametrize(
    ("regex", "words"),
    [
        ("(a", "missing ), unterminated subpattern at position 0"),
        ("a)", "unbalanced parenthesis"),
        ("*a", "nothing to repeat"),
        ("[a", "unterminated character set"),
        ("[[a]]", "Possible nested set"),
        ("a{99999999999}", "repetition number is too large"),
        (r"\q", r"bad escape \q"),
        ("", "1 to 256 characters, found 0"),
        ("a" * 257, "1 to 256 characters, found 257"),
    ],
)
def test_an_invalid_regular_expression_is_refused_in_the_words_of_python(regex: str, words: str) -> None:
    assert words in problem(match=regex, replace="x")


@pytest.mark.parametrize(
    ("regex", "group"),
    [
        ("(a+)+", "(a+)+"),
        ("x(a*)*", "(a*)*"),
        ("(?:a|aa)*b", "(?:a|aa)*"),
        ("((a+)b)+", "((a+)b)+"),
        ("(?P<name>a?){30}", "(?P<name>a?){30}"),
        ("(a{1,2})+", "(a{1,2})+"),
        (r"(\(+)+", r"(\(+)+"),
        ("([*]+)+", "([*]+)+"),
    ],
)
def test_a_repeated_group_that_can_match_in_several_ways_is_refused(regex: str, group: str) -> None:
    assert f"'{group}' repeats a group" in problem(match=regex, replace="x")


@pytest.mark.parametrize(
    "regex",
    [
        "(a+)",
        "(a+)?b",
        "(ab)+",
        "(?:[0-9a-f]{4}-){3}",
        "(a|b)c*",
        r"([*+?{|])+",
        r"(\+)+",
        r"(\[)+[)]*",
        "([]*])+",
        "(?i)a+",
        "a{2,3}",
    ],
)
def test_other_regular_expressions_are_taken(regex: str) -> None:
    assert rule(match=regex, replace="x").match == regex


@pytest.mark.parametrize("replace", [r"\1", r"\2-\1", r"\g<1>2", r"\g<name>", r"a\\b", r"\g<0>", "€"])
def test_a_replacement_may_name_groups(replace: str) -> None:
    assert rule(match="(?P<name>a)(b)", replace=replace).replace == replace


@pytest.mark.parametrize(
    ("replace", "words"),
    [
        (r"\3", "invalid group reference 3"),
        (r"\g<nobody>", "unknown group name 'nobody'"),
        (r"\0", r"'\1' to '\9'"),
        (r"\101", r"'\1' to '\9'"),
        (r"a\n", r"'\1' to '\9'"),
        ("a\\", r"'\1' to '\9'"),
        ("a\nb", "text that prints"),
        ("\x01", "text that prints"),
    ],
)
def test_other_replacements_are_refused(replace: str, words: str) -> None:
    assert words in problem(match="(?P<name>a)(b)", replace=replace)


DEFAULTS = dict(fold_defaults.RULES) | dict(fold_defaults.RULES_BY_DECODER)


@pytest.mark.parametrize("label", sorted(DEFAULTS))
def test_the_default_rules_are_rules(label: str) -> None:
    for each in DEFAULTS[label]:
        assert rule(match=each.match, replace=each.replace, parts=each.parts) == each


@given(st.text(alphabet=r"ab()[]*+?{}|\.,1^$:<>P=!-", max_size=20))
def test_any_text_is_a_regular_expression_or_refused(regex: str) -> None:
    try:
        taken = rule(match=regex, drop=True)
    except DeclarationError:
        return
    re.compile(taken.match).fullmatch("ab" * 20)
