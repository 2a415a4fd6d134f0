"""SQL that is nested too deeply to be read: sqlglot calls itself for each level, and Python ends such calls somewhere.

Belongs here: the limit and its refusal. Does not belong here: any other reason to refuse SQL (query, condition).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from sqlglot import Token, TokenType

from medallion_assets.errors import MartError

MAX_NESTING: Final = 30

_OPENS: Final = frozenset({TokenType.L_PAREN, TokenType.CASE, TokenType.L_BRACKET, TokenType.L_BRACE})
_CLOSES: Final = frozenset({TokenType.R_PAREN, TokenType.END, TokenType.R_BRACKET, TokenType.R_BRACE})


def require_shallow(tokens: Sequence[Token]) -> None:
    """Raise MartError for SQL with more than 30 brackets (or CASE) inside each other, before it is parsed."""
    depth = 0
    for token in tokens:
        depth += (token.token_type in _OPENS) - (token.token_type in _CLOSES)
        if depth > MAX_NESTING:
            raise MartError(
                f"line {token.line}, column {token.col}: more than {MAX_NESTING} brackets inside each other; expected "
                "fewer, for example steps in WITH"
            )


@contextmanager
def refuse_recursion() -> Iterator[None]:
    """Raise MartError for SQL whose tree is too deep without any bracket, such as a sum of a thousand terms."""
    try:
        yield
    except RecursionError:
        raise MartError(
            "an expression has too many terms to be read; expected fewer, for example steps in WITH"
        ) from None
