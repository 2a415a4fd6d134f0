"""A SELECT in Trino's dialect: parsed, checked against the tables that it may use, typed, and translated for DuckDB.

Belongs here: `read_query` for SQL that must mean the same on every engine, `read_any` for a user's own query, and
`read_confined` for a stranger's.
Nothing is run. Does not belong here: which expressions are allowed (trino), the rewrite for DuckDB (exact).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import Any, Final

import sqlglot
from sqlglot import TokenType, exp
from sqlglot.dialects.trino import Trino
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.annotate_types import TypeAnnotator, annotate_types
from sqlglot.optimizer.qualify import qualify
from sqlglot.schema import MappingSchema

from medallion_assets.contracts.types import ColumnType
from medallion_assets.engines.exact import make_exact
from medallion_assets.engines.families.sources import coerce_branches
from medallion_assets.engines.families.times import misread_format
from medallion_assets.engines.names import schema_and_table, table_name
from medallion_assets.engines.nesting import refuse_recursion, require_shallow
from medallion_assets.engines.order import Keys, untotal_orders
from medallion_assets.engines.trino import EXPRESSIONS, FUNCTIONS, STRUCTURE, refusal
from medallion_assets.engines.types import UnknownType, describe, is_double, of_kind, trino_type
from medallion_assets.errors import MartError

Tables = Mapping[str, Mapping[str, Mapping[str, exp.DataType]]]
"""Schema -> table -> column -> Trino type."""

_NOT_FIXED = (exp.CurrentTimestamp, exp.CurrentTime, exp.Localtime, exp.Localtimestamp, exp.Rand, exp.Uuid)

# What a stranger's query may contain besides what a mart may: values that differ in every run, or in their last digit.
_CONFINED: Final = frozenset(
    {
        *(exp.CurrentTimestamp, exp.ApproxDistinct, exp.AnyValue, exp.Ln, exp.Exp, exp.Cbrt),
        *(exp.Stddev, exp.StddevSamp, exp.StddevPop, exp.Variance, exp.VariancePop),
    }
)

# A stranger's query is planned by Python and DuckDB before anything can interrupt it. `*` is as many columns as its
# sources have, so a few levels of it are as many as one likes; and so are sources that are read through each other.
_MAX_SOURCES: Final = 16
_MAX_STARS: Final = 8
_MAX_PADDING: Final = 1000
_MAX_DEPTH: Final = 150  # DuckDB plans a sum of 150 terms in 0.05 s, of 500 in 2 s, of 900 in 12 s


@dataclass(frozen=True)
class Query:
    """A checked SELECT.

    - sql: its text as written
    - tables: the names of the tables that it reads (names), sorted
    - columns: its output columns with Trino's types
    - uses_current_date: whether `current_date` occurs in it
    - typed: the parsed SQL with every name resolved and every expression typed
    """

    sql: str
    tables: tuple[str, ...]
    columns: Mapping[str, exp.DataType]
    uses_current_date: bool
    typed: exp.Query = field(repr=False)
    _exact: exp.Query = field(repr=False)

    def duckdb(self, today: date) -> str:
        """Return the query in DuckDB's dialect, with `today` for `current_date`. It calls the macros of exact."""
        day = exp.cast(exp.Literal.string(today.isoformat()), exp.DType.DATE)
        with refuse_recursion():
            tree = self._exact.transform(lambda node: day.copy() if isinstance(node, exp.CurrentDate) else node)
            return tree.sql(dialect="duckdb", comments=False)


def parse(sql: str) -> exp.Query:
    """Return the one SELECT that SQL in Trino's dialect is. Raises MartError."""
    try:
        tokens = sqlglot.tokenize(sql, read="trino")
        # sqlglot reads SHOW, EXPLAIN and the like as text, and logs a warning of its own about them.
        if any(token.token_type in Trino.Tokenizer.COMMANDS for token in tokens[:1]):
            raise MartError("expected one SELECT and nothing else")
        require_shallow(tokens)
        statements = [tree for tree in sqlglot.parse(sql, dialect="trino") if tree is not None]
    except SqlglotError as broken:
        if re.search(r"\bqualify\b", sql, re.IGNORECASE):
            raise MartError(
                "not readable as Trino's SQL, which has no QUALIFY; put the window function into a subquery and filter "
                "its rows with WHERE"
            ) from broken
        raise MartError(f"not readable as Trino's SQL: {_first_error(broken)}") from broken
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise MartError("expected one SELECT and nothing else")
    return statements[0]


@lru_cache(maxsize=256)
def tables_in(sql: str) -> frozenset[str]:
    """Return the names of the tables that SQL has in FROM, with their schema (names); none if it is not readable."""
    try:
        with refuse_recursion():
            tree = parse(sql)
            return frozenset(table_name(table) for table in tree.find_all(exp.Table) if table.db and not table.catalog)
    except MartError:
        return frozenset()


def read_query(
    sql: str,
    tables: Mapping[str, Mapping[str, ColumnType]],
    *,
    where: str,
    doubles: bool = False,
    keys: Keys | None = None,
    unreadable: Mapping[str, str] | None = None,
) -> Query:
    """Return `sql` as a query over Silver tables and marts that has one meaning on Trino and DuckDB.

    `tables` maps the name of each table that it may use (names) to its columns; `where` names the file in errors;
    `doubles` allows its results to be doubles; `keys` are the key columns of the tables, by which an order can be
    total. A table may be in `unreadable`, which says why its columns are not known: then the SQL is refused for that
    reason, and only checked as far as it needs no columns.

    Raises MartError that names every expression that is wrong, the reason and a way out, each in a line.
    """
    typed_tables: dict[str, dict[str, Mapping[str, exp.DataType]]] = {}
    used = tables_in(sql)
    for name, columns in tables.items():
        schema, table = schema_and_table(name)
        # Of the other tables only the names are needed: a domain may have hundreds of tables and dozens of queries.
        types = {column: trino_type(kind) for column, kind in columns.items()} if name in used else {}
        typed_tables.setdefault(schema, {})[table] = types
    try:
        with refuse_recursion():
            return _read_checked(sql, typed_tables, doubles=doubles, keys=keys or {}, unreadable=unreadable or {})
    except MartError as mistake:
        raise MartError("\n".join(f"{where}: {line}" for line in str(mistake).splitlines())) from mistake


def _read_checked(sql: str, tables: Tables, *, doubles: bool, keys: Keys, unreadable: Mapping[str, str]) -> Query:
    tree = parse(sql)
    unknown = [f"FROM {name}: {unreadable[name]}" for name in sorted(tables_in(sql) & unreadable.keys())]
    _raise_all([*_misread_formats(sql), *_wrong_sources(tree, tables), *_wrong_expressions(tree), *unknown])
    query = _query(sql, tree, tables, strict=True)
    _raise_all([*_wrong_types(query, doubles=doubles), *untotal_orders(query.typed, keys)])
    return query


def read_any(sql: str, tables: Tables) -> Query:
    """Return a user's query over any of `tables`. Decimals are exact where their types are known; DuckDB does the rest.

    Raises MartError for anything but one SELECT over these tables.
    """
    with refuse_recursion():
        tree = parse(sql)
        _raise_all(list(_wrong_sources(tree, tables)))
        return _query(sql, tree, tables, strict=False)


def read_confined(sql: str, tables: Tables) -> Query:
    """Return a stranger's query over any of `tables`: it computes values from their rows and can do nothing else.

    It may contain what a mart may and a few functions more; there is no function of the engine, of a file or of a
    setting among them. Raises MartError for anything else, and for a query that would be planned for too long.
    """
    with refuse_recursion():
        tree = parse(sql)
        _require_flat(tree)
        _raise_all([*_wrong_sources(tree, tables), *_wrong_expressions(tree, also=_CONFINED), *_too_large(tree)])
        query = _query(sql, tree, tables, strict=True)
        _raise_all([*_repeated_names(query), *_intervals(query)])
        return query


def _require_flat(tree: exp.Query) -> None:
    """Raise MartError for a tree whose expressions are too deep inside each other to be planned in time."""
    level: list[exp.Expr] = [tree]
    for _ in range(_MAX_DEPTH):
        level = [part for node in level for part in node.iter_expressions()]
        if not level:
            return
    raise MartError(
        f"expressions stand more than {_MAX_DEPTH} levels inside each other, as in a sum of as many terms; expected "
        "fewer, for example IN (...) for a chain of OR"
    )


def _too_large(tree: exp.Query) -> Iterator[str]:
    """Yield what would let a short query be planned or computed without end."""
    sources = sum(1 for _ in tree.find_all(exp.Table, exp.Subquery, exp.Values, exp.Unnest))
    if sources > _MAX_SOURCES:
        yield f"{sources} tables and subqueries; expected at most {_MAX_SOURCES}"
    stars = sum(1 for star in tree.find_all(exp.Star) if not isinstance(star.parent, exp.Count))
    if stars > _MAX_STARS:
        yield f"* stands {stars} times; expected at most {_MAX_STARS}: name the columns"
    for pad in tree.find_all(exp.Pad):
        size = pad.expression
        if not isinstance(size, exp.Literal) or not size.is_int or int(size.name) > _MAX_PADDING:
            yield f"{pad.sql('trino')}: expected a size of at most {_MAX_PADDING}"


def _raise_all(mistakes: Sequence[str]) -> None:
    """Raise MartError with a line for each mistake, if there is one; the same sentence stands once."""
    if mistakes:
        raise MartError("\n".join(dict.fromkeys(" ".join(mistake.split()) for mistake in mistakes)))


def _first_error(broken: SqlglotError) -> str:
    errors = getattr(broken, "errors", None)
    if errors:
        return f"{errors[0]['description']} (line {errors[0]['line']}, column {errors[0]['col']})"
    return str(broken).splitlines()[0]


def _misread_formats(sql: str) -> Iterator[str]:
    """Yield the formats with a specifier that Trino does not know, which sqlglot would read as another one."""
    tokens = sqlglot.tokenize(sql, read="trino")
    for at, token in enumerate(tokens):
        if token.text.lower() not in {"date_format", "date_parse"}:
            continue
        depth = 0
        for inner in tokens[at + 1 :]:
            depth += (inner.token_type is TokenType.L_PAREN) - (inner.token_type is TokenType.R_PAREN)
            if depth == 0:
                break
            if inner.token_type is TokenType.STRING and (wrong := misread_format(inner.text)):
                yield f"{token.text}: the format {inner.text!r} has {wrong!r}, which Trino does not know"


def _wrong_sources(tree: exp.Query, tables: Tables) -> Iterator[str]:
    """Yield what FROM may not name: it takes the tables given, the query's own WITH names, and UNNEST."""
    names = sorted(f"{schema}.{table}" for schema, inside in tables.items() for table in inside)
    expected = f"expected one of {', '.join(names)}" if names else "the lake has no table yet"
    for table in tree.find_all(exp.Table):
        scope = table.find_ancestor(exp.Select, exp.Query)
        if not table.db and not table.catalog and scope is not None and table.name in _with_names(table):
            continue
        if not isinstance(table.this, exp.Identifier) or table.catalog or table.name not in tables.get(table.db, {}):
            yield f"FROM {table.sql('trino')}: no such table; {expected}"
    for source in tree.find_all(exp.From, exp.Join):
        if not isinstance(source.this, exp.Table | exp.Subquery | exp.Unnest | exp.Values):
            yield f"{source.sql('trino').strip()}: expected a table, a subquery or UNNEST"


def _with_names(node: exp.Expr) -> set[str]:
    """Return the WITH names that a table in FROM may mean: those of the queries around it.

    A query of WITH has only the names before its own. Another name would be a table of the engine there.
    """
    found: set[str] = set()
    inside: exp.CTE | None = None
    above: exp.Expr | None = node
    while above is not None:
        if isinstance(above, exp.CTE):
            inside = above
        elif isinstance(above, exp.Query):
            for cte in above.ctes:
                if cte is inside:
                    break
                found.add(cte.alias)
        above = above.parent
    return found


def _wrong_expressions(tree: exp.Query, also: Collection[type[exp.Expr]] = ()) -> Iterator[str]:
    """Yield the expressions that are neither a mart's nor in `also`; the parts of one are not looked at."""

    def is_refused(node: exp.Expr) -> bool:
        return type(node) not in also and _is_refused(node)

    for node in tree.walk(prune=is_refused):
        if isinstance(node, _NOT_FIXED) and type(node) not in also:
            yield f"{node.sql('trino')}: its value differs in every run; use current_date, which is the day of the run"
        elif is_refused(node):
            yield f"{node.sql('trino')}: {refusal(node)}"
        elif wrong := _misused(node):
            yield wrong


def _misused(node: exp.Expr) -> str | None:
    """Return why a part of a SELECT is refused in the form that it has here."""
    if isinstance(node, exp.With) and node.args.get("recursive"):
        return "WITH RECURSIVE: how deep it goes is not known before; use UNNEST(sequence(...)) for a calendar"
    if isinstance(node, exp.Select) and node.args.get("windows"):
        return "WINDOW: a named window is not known to be the same; write OVER (...) in full"
    if isinstance(node, exp.LimitOptions) and (node.args.get("with_ties") or node.args.get("percent")):
        return f"{node.sql('trino').strip()}: expected a number of rows; for ties use rank() and WHERE"
    if isinstance(node, exp.Join) and str(node.args.get("method") or "").upper() == "NATURAL":
        return "NATURAL JOIN: a new column would change it; write ON or USING"
    return None


def _is_refused(node: exp.Expr) -> bool:
    if isinstance(node, exp.Anonymous):
        return node.name.lower() not in FUNCTIONS
    return type(node) not in EXPRESSIONS and type(node) not in STRUCTURE


def _repeated_names(query: Query) -> Iterator[str]:
    names = [select.alias_or_name for select in query.typed.selects]
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        yield f"SELECT gives {names.count(name)} columns {name}; expected one of each name"


def _intervals(query: Query) -> Iterator[str]:
    for name, kind in query.columns.items():
        if any(part.this is exp.DType.INTERVAL for part in kind.find_all(exp.DataType)):
            yield f"{name} is an interval, which has no form in JSON and CSV; date_diff gives a number"


def _wrong_types(query: Query, *, doubles: bool) -> Iterator[str]:
    """Yield the columns of the result that have no type or one name together, and doubles where there may be none."""
    yield from _repeated_names(query)
    for select in query.typed.selects:
        if select.type is None or select.type.this in {exp.DType.UNKNOWN, exp.DType.NULL}:
            yield f"{select.sql('trino')}: its type is unknown; CAST it to the type of the column"
        elif select.type.this is exp.DType.TIMESTAMP:
            yield (
                f"{select.sql('trino')} is a {describe(select.type)} without time zone, which no column of the lake "
                "is; leave it a timestamp with time zone"
            )
    if doubles:
        return
    for node in query.typed.walk(prune=_is_double):
        if _is_double(node) and not _is_made_exact(node):
            yield f"{node.sql('trino')} is a double; CAST it to a decimal (a mart with a double column may use doubles)"


def _is_double(node: exp.Expr) -> bool:
    return is_double(node.type)


def _is_made_exact(node: exp.Expr) -> bool:
    """Return whether a double is only compared, or cast to a type that is exact."""
    parent = node.parent
    while parent is not None and not isinstance(parent, exp.Query):
        if parent.type is not None and parent.type.this not in {exp.DType.DOUBLE, exp.DType.UNKNOWN}:
            return True
        parent = parent.parent
    return False


def _query(sql: str, tree: exp.Query, tables: Tables, *, strict: bool) -> Query:
    schema = MappingSchema(
        {
            schema: {
                table: {name: kind.sql("trino") for name, kind in columns.items()}
                for table, columns in inside.items()
                if columns
            }
            for schema, inside in tables.items()
            if any(inside.values())
        },
        dialect="trino",
    )
    used = sorted({table_name(table) for table in tree.find_all(exp.Table) if table.db})
    try:
        qualified = qualify(tree.copy(), schema=schema, dialect="trino", expand_alias_refs=False)
    except SqlglotError as unknown:
        raise MartError(
            f"{str(unknown).splitlines()[0]}{_unknown_columns(tree, tables)}; {_known_columns(tree, tables)}"
        ) from unknown
    mistakes: list[str] = []
    metadata = _metadata(mistakes)
    typed = annotate_types(qualified, schema=schema, dialect="trino", expression_metadata=metadata)
    while (not mistakes or not strict) and coerce_branches(typed, strict=strict):
        typed = annotate_types(typed, schema=schema, dialect="trino", expression_metadata=metadata)
    if strict:
        _raise_all(mistakes)
    for null in typed.find_all(exp.Null):  # sqlglot gives it Trino's type `unknown` at last
        null.type = of_kind(exp.DType.NULL)
    exact = typed.copy()
    make_exact(exact)
    return Query(
        sql=sql,
        tables=tuple(used),
        columns={select.alias_or_name: _column_type(select.type) for select in typed.selects},
        uses_current_date=tree.find(exp.CurrentDate) is not None,
        typed=typed,
        _exact=exact,
    )


def _column_type(type_: exp.DataType | None) -> exp.DataType:
    """Return the type that a column is stored in: a timestamp is an instant there, whatever its zone was."""
    if type_ is None:
        return of_kind(exp.DType.UNKNOWN)
    return of_kind(exp.DType.TIMESTAMPTZ) if type_.this is exp.DType.TIMESTAMPTZ else type_


def _unknown_columns(tree: exp.Query, tables: Tables) -> str:
    """Return the names that are no column of any table and no alias, because sqlglot names only the first one."""
    known = {name for inside in tables.values() for columns in inside.values() for name in columns}
    known |= {alias.alias for alias in tree.find_all(exp.Alias)}
    known |= {name for alias in tree.find_all(exp.TableAlias) for name in [alias.name, *alias.alias_column_names]}
    unknown = dict.fromkeys(one.name for one in tree.find_all(exp.Column) if one.name.lower() not in known)
    return f"; no such columns: {', '.join(unknown)}" if len(unknown) > 1 else ""


def _known_columns(tree: exp.Query, tables: Tables) -> str:
    """Return the columns of each table and WITH query that the SQL names, for a message."""
    named = sorted({(table.db, table.name) for table in tree.find_all(exp.Table) if table.db})
    known = {f"{schema}.{table}": list(tables[schema][table]) for schema, table in named}
    known |= {cte.alias: cte.this.named_selects for cte in tree.find_all(exp.CTE)}
    return "; ".join(f"{name} has {', '.join(columns)}" for name, columns in known.items()) or "FROM names no table"


def _metadata(mistakes: list[str]) -> dict[Any, dict[str, Any]]:
    """Return sqlglot's table of type rules, with our rules in place of its own; they append to `mistakes`."""
    ours = {kind: {"annotator": _annotator(rule, mistakes)} for kind, rule in EXPRESSIONS.items()}
    return {**Trino.EXPRESSION_METADATA, **ours}


def _annotator(rule: Callable[[Any], exp.DataType], mistakes: list[str]) -> Callable[[TypeAnnotator, Any], Any]:
    def annotate(annotator: TypeAnnotator, node: exp.Expr) -> exp.Expr:
        type_: exp.DataType | None = None
        try:
            type_ = rule(node)
        except UnknownType as unknown:
            # Its parts have no type: either they are the mistake, which is reported, or they never have one.
            if not mistakes:
                mistakes.append(f"{node.sql('trino')}: {unknown}")
        except MartError as mistake:
            mistakes.append(f"{node.sql('trino')}: {mistake}")
        return annotator._set_type(node, type_)

    return annotate
