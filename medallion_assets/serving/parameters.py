"""Parameters of a query: they become literals of its parsed tree, so no value is ever read as SQL.

Belongs here: putting values in. Does not belong here: the declared parameters of saved queries.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from sqlglot import exp

from medallion_assets.engines.nesting import refuse_recursion
from medallion_assets.engines.query import parse
from medallion_assets.errors import MartError

_MAX_DIGITS: Final = 38

Value = str | int | Decimal | bool | None


def bind(sql: str, parameters: Mapping[str, exp.Expr]) -> str:
    """Return a SELECT in Trino's dialect in which each `:name` is that literal.

    Raises MartError for a name without a value, a value without a place, and for `?`.
    """
    with refuse_recursion():
        tree = parse(sql)
        places = list(tree.find_all(exp.Placeholder))
        if not places and not parameters:
            return sql
        named = {place.name for place in places}
        if "" in named:
            raise MartError("? has no name; write parameters as :name")
        if missing := sorted(named - parameters.keys()):
            raise MartError(f"no value for :{', :'.join(missing)}")
        if unused := sorted(parameters.keys() - named):
            raise MartError(f"no :{', :'.join(unused)} in the SQL; expected a place for each parameter")
        for place in places:
            place.replace(parameters[place.name].copy())
        return tree.sql("trino", comments=False)


def literal(value: Value) -> exp.Expr:
    """Return a value as a literal: a text is a varchar, a number an integer or a decimal."""
    match value:
        case None:
            return exp.Null()
        case bool():
            return exp.Boolean(this=value)
        case str():
            return exp.Literal.string(value)
        case int() | Decimal():
            digits = _digits(value)
            number = exp.Literal.number(digits.removeprefix("-"))
            return exp.Paren(this=exp.Neg(this=number)) if digits.startswith("-") else number


def _digits(value: int | Decimal) -> str:
    """Return a number's digits without an exponent. Raises MartError for one that no decimal of SQL holds."""
    exact = Decimal(value)
    exponent = exact.as_tuple().exponent
    if not isinstance(exponent, int) or exact.adjusted() >= _MAX_DIGITS or -exponent > _MAX_DIGITS:
        raise MartError(f"a parameter is a number of more than {_MAX_DIGITS} digits, or none; expected fewer")
    return format(exact, "f")
