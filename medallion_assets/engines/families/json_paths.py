"""JSON text: `json_extract_scalar` and `json_array_length`.

Trino gives a number as it is written, all digits of it; DuckDB as a double. So numbers are made texts first. Text that
is not JSON is an error here; Trino reads as far as it must.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlglot import exp

from medallion_assets.engines.families.text import require_text
from medallion_assets.engines.rewriting import call, text
from medallion_assets.engines.types import of_kind
from medallion_assets.errors import MartError

# A string is matched as a whole, so that no digit in it is; \\x01 cannot stand in JSON text.
MACROS = r"""
CREATE MACRO json_texts(j) AS replace(replace(regexp_replace(j,
  '("(?:[^"\\]|\\.)*")|(-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)', '\1' || chr(1) || '\2' || chr(1), 'g'),
  chr(1) || chr(1), ''), chr(1), '"');
CREATE MACRO json_scalar(j, path) AS CASE WHEN j IS NULL THEN NULL
  WHEN NOT json_valid(j) THEN error('not JSON: ' || left(j, 100))
  WHEN json_type(j, path) IN ('OBJECT', 'ARRAY', 'NULL') THEN NULL
  ELSE json_extract_string(json_texts(j), path) END;
CREATE MACRO json_size(j) AS CASE WHEN j IS NULL THEN NULL
  WHEN NOT json_valid(j) THEN error('not JSON: ' || left(j, 100))
  WHEN json_type(j) = 'ARRAY' THEN CAST(json_array_length(j) AS BIGINT) END;
"""


def _scalar(node: exp.JSONExtractScalar) -> exp.DataType:
    require_text(node.this)
    _path(node.expression)
    return of_kind(exp.DType.VARCHAR)


def _path(path: exp.Expr) -> str:
    """Return a literal path as DuckDB writes it: every key in quotes."""
    if not isinstance(path, exp.JSONPath):
        raise MartError("""expected a literal path like '$.a.b[0]["a key"]'""")
    written = ""
    for part in path.expressions:
        if isinstance(part, exp.JSONPathRoot):
            written += "$"
        elif isinstance(part, exp.JSONPathKey) and isinstance(part.this, str) and not set('"*\\') & set(part.this):
            written += f'."{part.this}"'
        elif isinstance(part, exp.JSONPathSubscript) and isinstance(part.this, int) and part.this >= 0:
            written += f"[{part.this}]"
        else:
            raise MartError(f"the path has {part.sql('trino')!r}; expected keys and numbers from 0")
    return written


def _size(node: exp.Anonymous) -> exp.DataType:
    require_text(node.expressions[0])
    return of_kind(exp.DType.BIGINT)


TYPES: dict[type[exp.Expr], Callable[[Any], exp.DataType]] = {exp.JSONExtractScalar: _scalar}

REWRITES: dict[type[exp.Expr], Callable[[Any], exp.Expr | None]] = {
    exp.JSONExtractScalar: lambda node: call("json_scalar", node.this.copy(), text(_path(node.expression))),
}

FUNCTIONS: dict[str, tuple[Callable[[Any], exp.DataType], Callable[[Any], exp.Expr | None] | None]] = {
    "json_array_length": (
        _size,
        lambda node: call("json_size", node.expressions[0].copy()),
    ),
}
