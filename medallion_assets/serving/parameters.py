"""Parameters of a query: they become literals of its parsed tree, so no value is ever read as SQL.

Belongs here: putting values in. Does not belong here: the declared parameters of saved queries.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from sqlglot import exp

from medallion_assets.engines.nesting import refuse_recursion
from medallion_assets.engines.query import parse
from medallion_assets.errors import MartError

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
            if isinstance(value, Decimal) and not value.is_finite():
                raise MartError("a parameter is not a number; expected a finite one")
            number = exp.Literal.number(format(abs(value), "f"))
            return exp.Paren(this=exp.Neg(this=number)) if value < 0 else number
