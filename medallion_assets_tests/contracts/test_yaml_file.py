"""Scalars are those of YAML 1.2's core schema, keys are text, and what is refused is refused with file and line."""

from __future__ import annotations

import re
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medallion_assets.contracts.yaml_file import Key, core_scalar, read_yaml
from medallion_assets.errors import ContractError


def read(folder: Path, text: str) -> Any:
    path = folder / "some.yaml"
    path.write_text(text, encoding="utf-8")
    return read_yaml(path).data


@pytest.mark.parametrize(
    ("written", "value"),
    [
        *[(text, None) for text in ("", "~", "null", "Null", "NULL")],
        *[(text, True) for text in ("true", "True", "TRUE")],
        *[(text, False) for text in ("false", "False", "FALSE")],
        *[(text, text) for text in ("yes", "Yes", "no", "NO", "on", "off", "y", "n", "nUll", "tRUE")],
        *[("0100", 100), ("-017", -17), ("+12", 12), ("00", 0), ("0o17", 15), ("0x1F", 31), ("02142", 2142)],
        *[(text, text) for text in ("0b101", "1_000", "10:30", "190:20:30.15", "0X1F", "0O17", "-0x1F", "0x", "0o8")],
        *[(text, Decimal(text)) for text in ("0.10", "1.", ".5", "1e3", "1E-3", "-12.50e+2", "685.23015")],
        *[(text, text) for text in ("1_000.5", "1e", ".", "+.e3", "1.2.3", "١٢")],
        *[(".inf", Decimal("Infinity")), ("-.INF", Decimal("-Infinity")), ("+.Inf", Decimal("Infinity"))],
        *[(text, text) for text in ("inf", "nan", ".iNf", "-.nan")],
        *[(text, text) for text in ("2026-01-31", "2026-01-31T10:00:00Z", "2001-12-14 21:59:43.10 -5", "=", "1.2.3.4")],
    ],
)  # fmt: skip
def test_a_plain_scalar_is_what_the_core_schema_says(tmp_path: Path, written: str, value: Any) -> None:
    (found,) = read(tmp_path, f"- {written}\n")
    assert (found, type(found)) == (value, type(value))


def test_not_a_number_is_a_number(tmp_path: Path) -> None:
    assert [number.is_nan() for number in read(tmp_path, "[.nan, .NaN, .NAN]")] == [True] * 3


@settings(max_examples=500, deadline=None)
@given(st.text("0123456789+-.eExXoO_:abfnilNyTr~", max_size=10))
def test_any_scalar_agrees_with_the_specification(text: str) -> None:
    """https://yaml.org/spec/1.2.2/#1032-tag-resolution, in its own order and words."""
    if (wide := re.fullmatch(r"[-+]?[0-9.]+[eE]([-+]?[0-9]+)", text)) and abs(int(wide[1])) > 380:
        return  # near and beyond our limit of digits, which has a test of its own
    found = core_scalar(text)
    if re.fullmatch(r"null|Null|NULL|~|", text):
        assert found is None
    elif re.fullmatch(r"true|True|TRUE|false|False|FALSE", text):
        assert found is (text.lower() == "true")
    elif re.fullmatch(r"[-+]?[0-9]+", text):
        assert (found, type(found)) == (int(text, 10), int)
    elif re.fullmatch(r"0o[0-7]+", text):
        assert found == int(text[2:], 8)
    elif re.fullmatch(r"0x[0-9a-fA-F]+", text):
        assert found == int(text[2:], 16)
    elif re.fullmatch(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", text):
        assert (found, type(found)) == (Decimal(text), Decimal)
    elif re.fullmatch(r"[-+]?(\.inf|\.Inf|\.INF)|\.nan|\.NaN|\.NAN", text):
        assert isinstance(found, Decimal) and not found.is_finite()
    else:
        assert found == text


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=20))
def test_quoted_text_is_text(tmp_path: Path, text: str) -> None:
    quoted = text.replace("'", "''").replace("\u2028", "").replace("\u2029", "").replace("\ufeff", "")
    assert read(tmp_path, f"'{quoted}'") == quoted.replace("''", "'")


def test_a_key_is_the_text_that_was_written(tmp_path: Path) -> None:
    written = "{0123: a, yes: b, 2026-01-31: c, null: d, 1.50: e, 0x1F: f, true: g, '7': h, 10:30 : i}"
    found = read(tmp_path, written)
    assert list(found) == ["0123", "yes", "2026-01-31", "null", "1.50", "0x1F", "true", "7", "10:30"]
    values = [key.scalar() for key in found if isinstance(key, Key)]
    assert values == [123, "yes", "2026-01-31", None, Decimal("1.50"), 31, True, "7", "10:30"]


def test_an_alias_repeats_what_its_anchor_names(tmp_path: Path) -> None:
    assert read(tmp_path, "a: &rules [{min: 0}]\nb: *rules\n") == {"a": [{"min": 0}], "b": [{"min": 0}]}


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 20)
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: 2\na: 3\n", "key 'a' stands twice, first on line 1 (line 3, column 1)"),
        ("a: 1\n'a': 2\n", "stands twice, first on line 1 (line 2, column 1)"),
        ("x:\n  - {k: 1, k: 2}\n", "key 'k' stands twice, first on line 2"),
        ("base: &b {k: 1}\nx:\n  <<: *b\n", "the merge key << is YAML 1.1"),
        ("? [a, b]\n: c\n", "a key that is a list, a mapping or an alias"),
        ("? {a: b}\n: c\n", "a key that is a list, a mapping or an alias"),
        ("a: &x b\n*x : c\n", "a key that is a list, a mapping or an alias"),
        ("?\n: c\n", "no key before the colon"),
        ("a: !!int '5'\n", "the tag tag:yaml.org,2002:int"),
        ("a: !!python/object/apply:os.system [ls]\n", "the tag tag:yaml.org,2002:python"),
        ("a: !mine {b: c}\n", "the tag !mine"),
        ("a: *b\n", "*b: expected &b before it"),
        ("a: &a [*a]\n", "*a: expected &a before it"),
        ("a: 1\n---\nb: 2\n", "a second document begins"),
        (BOMB, "the aliases repeat more than 10000 values"),
        ("a: " + "[" * 3000 + "]" * 3000, "nested more than 64 levels deep"),
        ("a: " + "{b: " * 3000 + "}" * 3000, "nested more than 64 levels deep"),
        ("".join(" " * n + "a:\n" for n in range(200)), "nested more than 64 levels deep"),
        ("- " * 2000 + "a", "nested more than 64 levels deep"),
        ("a: " + "9" * 5000, "a number of 5000 digits"),
        ("a: 1e999999999", "expected a number of at most 400 digits"),
        ("a: 1e99999999999999999999999", "expected a number of at most 400 digits"),
        ('a: "x\\0y"', "text with a NUL"),
        ('a: "\\ud800"', "a half of a surrogate pair"),
        ("a: 1\nb: \x07\n", "(line 2)"),
        ("a: [1\nb: 2\n", "(line 2, column 2)"),
        ("a: 1\n\tb: 2\n", "(line 2, column 1)"),
    ],
)
def test_what_is_not_taken_is_named_with_file_and_line(tmp_path: Path, text: str, expected: str) -> None:
    begun = time.monotonic()
    with pytest.raises(ContractError) as refused:
        read(tmp_path, text)
    assert str(refused.value).startswith(f"{tmp_path / 'some.yaml'}: not readable as YAML: ")
    assert expected in str(refused.value) and "line " in str(refused.value)
    assert time.monotonic() - begun < 5


def test_a_tag_that_says_text_is_taken(tmp_path: Path) -> None:
    assert read(tmp_path, "{a: !!str 0100, b: ! 12}") == {"a": "0100", "b": "12"}
