"""The corpus: expressions made of templates. Each template once with every leaf of its types, then nested at random.

A template's placeholders name kinds of values: {int}, {big}, {dec}, {dbl}, {txt}, {day}, {ts}, {bool}, {ints}, {texts}.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Final

from medallion_assets_tests.engines.differential.edges import ROW_COUNT

LEAVES: Final[dict[str, tuple[str, ...]]] = {
    "int": ("i", "3", "-2", "0"),
    "big": ("n", "i", "CAST(7 AS bigint)"),
    "dec": ("d", "e", "w", "1.5", "0.005", "DECIMAL '-2.5'"),
    "dbl": ("f", "2.5e0"),
    "txt": ("s", "u", "'a-b--c'", "'äöü'"),
    "bool": ("b", "d > 0", "u = 'b'", "l IS NULL"),
    "day": ("day", "day2", "DATE '2024-02-29'", "current_date"),
    "ts": (
        "ts",
        "ts2",
        "ts AT TIME ZONE 'Europe/Berlin'",
        "ts2 AT TIME ZONE 'America/Los_Angeles'",
        "TIMESTAMP '2026-10-25 00:59:59.999 UTC'",
        "from_unixtime(1774745999, 'Europe/Berlin')",
    ),
    "num": ("i", "n", "d", "e", "w", "f", "7"),
    "exact": ("i", "n", "d", "e", "w"),
    "any": ("i", "d", "s", "day", "ts", "b", "n"),
    "few": ("i % 1000", "3", "-2", "0"),
    "small": ("1", "2", "0", "-1", "i"),
    "unit": ("'day'", "'week'", "'month'", "'quarter'", "'year'"),
    "clock": ("'millisecond'", "'second'", "'minute'", "'hour'"),
    "span": ("'1' DAY", "'30' DAY", "'1' MONTH", "'13' MONTH", "'1' YEAR", "'-1' DAY"),
    "shortspan": ("'1' HOUR", "'90' MINUTE", "'3600' SECOND", "'25' HOUR"),
    "op": ("=", "<>", "<", "<=", ">", ">=", "IS DISTINCT FROM", "IS NOT DISTINCT FROM"),
}

ROWS: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "numbers": (
        *(("num", f"{{num}} {op} {{num}}") for op in "+-*/%"),
        *(("exact", f"mod({{exact}}, {right})") for right in ("3", "d", "i", "1.5")),
        ("num", "-{num}"),
        ("num", "abs({num})"),
        ("exact", "round({exact})"),
        ("exact", "round({dec}, 1)"),
        ("exact", "round({dec}, 2)"),
        ("big", "round({big}, -1)"),
        ("big", "round({big}, -2)"),
        ("exact", "floor({exact})"),
        ("exact", "ceil({exact})"),
        ("exact", "truncate({dec})"),
        ("exact", "truncate({dec}, 1)"),
        ("exact", "sign({exact})"),
        ("dbl", "sqrt({num})"),
        ("dbl", "power({few}, 2)"),
        ("dbl", "power({few}, 5)"),
        ("num", "greatest({num}, {num})"),
        ("num", "least({num}, {num}, 1)"),
        ("dec", "CAST({dbl} AS decimal(18,4))"),
        ("dec", "CAST({num} AS decimal(10,1))"),
        ("dec", "CAST({num} AS decimal(38,0))"),
        ("dec", "TRY_CAST({num} AS decimal(5,2))"),
        ("big", "CAST({num} AS bigint)"),
        ("int", "CAST({num} AS integer)"),
        ("int", "TRY_CAST({num} AS integer)"),
        ("dbl", "CAST({num} AS double)"),
    ),
    "conditions": (
        *(("bool", f"{{num}} {op} {{num}}") for op in ("=", "<", ">=")),
        ("bool", "{txt} {op} {txt}"),
        ("bool", "{day} {op} {day}"),
        ("bool", "{ts} {op} {ts}"),
        ("bool", "{ts} {op} {day}"),
        ("bool", "{num} {op} {num}"),
        ("bool", "{num} BETWEEN {num} AND {num}"),
        ("bool", "{day} BETWEEN DATE '2000-01-01' AND {day}"),
        ("bool", "{num} IN (0, 1.00, 7)"),
        ("bool", "{num} NOT IN (1, NULL)"),
        ("bool", "{txt} IN ('a', 'b', NULL)"),
        ("bool", "{txt} LIKE '%a%'"),
        ("bool", "{txt} LIKE '_'"),
        ("bool", "{txt} LIKE {txt}"),
        ("bool", "{txt} NOT LIKE 'x!%!_%' ESCAPE '!'"),
        ("bool", "{txt} LIKE '%\\%'"),
        ("bool", "{bool} AND {bool}"),
        ("bool", "{bool} OR NOT {bool}"),
        ("bool", "{any} IS NULL"),
        ("bool", "{any} IS NOT NULL"),
    ),
    "values": (
        ("num", "CASE WHEN {bool} THEN {num} ELSE {num} END"),
        ("txt", "CASE {txt} WHEN 'a' THEN 'one' WHEN 'b' THEN {txt} END"),
        ("num", "COALESCE({num}, {num}, 0)"),
        ("txt", "COALESCE({txt}, 'none')"),
        ("ts", "COALESCE(ts, ts2, TIMESTAMP '2026-01-01 00:00:00 UTC')"),
        ("num", "NULLIF({num}, {num})"),
        ("txt", "NULLIF({txt}, '')"),
        ("num", "IF({bool}, {num}, {num})"),
        ("txt", "IF({bool}, {txt})"),
        ("int", "r.a"),
        ("txt", "r.b"),
    ),
    "text": (
        ("txt", "lower({txt})"),
        ("txt", "upper({txt})"),
        ("big", "length({txt})"),
        ("txt", "reverse({txt})"),
        ("txt", "{txt} || {txt}"),
        ("txt", "concat({txt}, '-', {txt})"),
        ("txt", "concat_ws(',', {txt}, {txt}, 'z')"),
        ("bool", "starts_with({txt}, 'a')"),
        ("bool", "starts_with({txt}, {txt})"),
        ("txt", "substr({txt}, {small})"),
        ("txt", "substr({txt}, {small}, {small})"),
        ("txt", "substring({txt} FROM 2 FOR 3)"),
        ("txt", "split_part({txt}, '-', 1)"),
        ("txt", "split_part({txt}, '--', 2)"),
        ("txt", "split_part({txt}, '-', i)"),
        ("txt", "replace({txt}, '-', '+')"),
        ("txt", "replace({txt}, 'a')"),
        *(("txt", f"{name}({{txt}})") for name in ("trim", "ltrim", "rtrim")),
        ("txt", "trim(BOTH ' a' FROM {txt})"),
        ("txt", "trim(LEADING 'a' FROM {txt})"),
        ("txt", "lpad({txt}, 5, '0')"),
        ("txt", "rpad({txt}, 3, 'äx')"),
        ("txt", "lpad({txt}, 0, 'x')"),
        ("big", "strpos({txt}, 'a')"),
        ("big", "position({txt} IN {txt})"),
        ("txt", "array_join({texts}, '-')"),
        ("txt", "to_hex(sha256(to_utf8({txt})))"),
        ("txt", "to_hex(md5(to_utf8({txt})))"),
    ),
    "patterns": (
        *(
            ("bool", f"regexp_like({{txt}}, '{pattern}')")
            for pattern in (
                *(
                    "a",
                    "^a",
                    "a$",
                    "^$",
                    "[0-9]+",
                    r"\d{2}",
                    r"\s",
                    r"\S",
                    r"\w+-\w",
                    "a.b",
                    "^.$",
                    "line$",
                    r"\.",
                    "^(?:a|b)$",
                ),
                *(
                    "[^a-z]",
                    "x?",
                    "(ab|a)b*",
                    r"[\s,]",
                    "[a-zA-Z-]+",
                    r"^\D*$",
                    "ä",
                    "[ä-ü]",
                    "a{2,}",
                    "(?:--)+",
                    r"\\",
                ),
            )
        ),
        *(
            ("txt", f"regexp_extract({{txt}}, {rest})")
            for rest in (
                *(
                    "'[0-9]+'",
                    "'([a-z])-', 1",
                    r"'(\d+)-(\d+)', 2",
                    "'a.*'",
                    "'.+$'",
                    "'(\\w+)$', 1",
                    "'b*?'",
                    "'[^-]+'",
                ),
                *("'-*'", "'(a|ab)(b?)', 1", r"'^\s*(\S+)', 1"),
            )
        ),
        *(
            ("txt", f"regexp_replace({{txt}}, {rest})")
            for rest in (
                *("'[0-9]+', '#'", "'-+'", r"'(\w)(\w)', '$2$1'", r"'\s+$', ''", "'^a', '<$0>'", "'x+', '.'"),
                *("'e$', 'E'", r"'\n', ' '", r"'a', '\$'", r"'a', '\\'"),
            )
        ),
    ),
    "casts": (
        *(
            ("num", f"{cast}({{txt}} AS {kind})")
            for cast in ("CAST", "TRY_CAST")
            for kind in ("bigint", "integer", "decimal(10,2)", "decimal(38,18)", "decimal(3,3)", "double")
        ),
        *(("bool", f"{cast}({{txt}} AS boolean)") for cast in ("CAST", "TRY_CAST")),
        *(("day", f"{cast}({{txt}} AS date)") for cast in ("CAST", "TRY_CAST")),
        ("txt", "CAST(TRY_CAST({txt} AS timestamp) AS varchar)"),
        ("txt", "CAST(TRY_CAST({txt} AS timestamp(6)) AS varchar)"),
        ("txt", "CAST({exact} AS varchar)"),
        ("txt", "CAST({bool} AS varchar)"),
        ("txt", "CAST({day} AS varchar)"),
        ("txt", "CAST({ts} AS varchar)"),
        ("txt", "CAST(CAST({ts} AS timestamp) AS varchar)"),
        ("txt", "CAST(CAST({ts} AS timestamp(6)) AS varchar)"),
        ("txt", "CAST(CAST({ts} AS timestamp(0) with time zone) AS varchar)"),
        ("txt", "CAST(CAST({ts} AS timestamp with time zone) AS varchar)"),
        ("txt", "CAST(CAST({day} AS timestamp) AS varchar)"),
        ("ts", "CAST({day} AS timestamp with time zone)"),
        ("day", "CAST({ts} AS date)"),
        ("day", "date({ts})"),
        ("int", "CAST({bool} AS integer)"),
    ),
    "times": (
        *(
            ("big", f"{name}({{day}})")
            for name in (
                *(
                    "year",
                    "quarter",
                    "month",
                    "week",
                    "day",
                    "day_of_week",
                    "dow",
                    "day_of_year",
                    "doy",
                    "year_of_week",
                    "yow",
                ),
                *("day_of_month", "week_of_year"),
            )
        ),
        *(
            ("big", f"{name}({{ts}})")
            for name in ("hour", "minute", "second", "year", "day", "day_of_week", "week", "yow")
        ),
        *(
            ("big", f"extract({part} FROM {{ts}})")
            for part in ("HOUR", "MINUTE", "SECOND", "DOW", "DOY", "MONTH", "WEEK")
        ),
        ("day", "date_trunc({unit}, {day})"),
        ("ts", "date_trunc({unit}, {ts})"),
        ("ts", "date_trunc({clock}, {ts})"),
        ("day", "date_add({unit}, {few}, {day})"),
        ("ts", "date_add({unit}, {few}, {ts})"),
        ("ts", "date_add({clock}, {int}, {ts})"),
        ("ts", "date_add('second', {big}, ts)"),
        ("big", "date_diff({unit}, {day}, {day})"),
        ("big", "date_diff({unit}, ts, ts2)"),
        ("big", "date_diff({unit}, ts2, TIMESTAMP '2026-10-25 00:59:59.999 UTC')"),
        ("big", "date_diff({clock}, {ts}, {ts})"),
        ("big", "date_diff('day', {day}, ts)"),
        ("day", "{day} + INTERVAL {span}"),
        ("day", "{day} - INTERVAL {span}"),
        ("ts", "{ts} + INTERVAL {span}"),
        ("ts", "{ts} - INTERVAL {shortspan}"),
        ("day", "{day} + {few} * INTERVAL '1' DAY"),
        ("txt", "date_format({ts}, '%Y-%m-%d %H:%i:%s.%f')"),
        ("txt", "date_format({ts}, '%a %W %b %M %c/%e/%y %l:%i %p %r %T %k %h %I %j %v %x %% %S')"),
        ("txt", "date_format({day}, '%Y-%m')"),
        ("ts", "from_unixtime({big})"),
        ("ts", "from_unixtime({big}, 'Asia/Kolkata')"),
        ("dbl", "to_unixtime({ts})"),
        ("big", "CAST(to_unixtime({ts}) AS bigint)"),
        ("day", "last_day_of_month({day})"),
        ("day", "last_day_of_month({ts})"),
        ("txt", "to_iso8601({day})"),
        *(
            ("ts", f"from_iso8601_timestamp('{text}')")
            for text in (
                *(
                    "2026-01-05T10:00:00Z",
                    "2026-01-05T10:00:00.123456+02:00",
                    "2026-01-05",
                    "2026-01-05T10:00",
                    "2026-01-05T10",
                ),
                *(
                    "2026-01-05T10:00:00.9999Z",
                    "2026-01-05T10:00:00-0530",
                    "2026-02-30T10:00:00Z",
                    "2026-01-05T25:00:00Z",
                ),
                *("2026-01-05 10:00:00", "", "2026-01-05T10:00:00,5z", "2026-01-05T10:00:00.123"),
            )
        ),
        ("txt", "date_format(from_iso8601_timestamp('2026-01-05T23:30:00-05:00') AT TIME ZONE 'UTC', '%Y-%m-%d %H')"),
        ("day", "from_iso8601_date('2026-01-31')"),
        ("txt", "CAST(date_parse('2026-01-31', '%Y-%m-%d') AS varchar)"),
        ("txt", "CAST(date_parse('31/01/2026 23:59:58', '%d/%m/%Y %H:%i:%s') AS varchar)"),
    ),
    "nested": (
        ("txt", "l[1]"),
        ("txt", "l[2]"),
        ("txt", "l[i]"),
        ("txt", "element_at({texts}, {small})"),
        ("int", "element_at(li, {small})"),
        ("int", "m['a']"),
        ("int", "m[u]"),
        ("int", "element_at(m, {txt})"),
        ("bool", "contains({texts}, {txt})"),
        ("bool", "contains(li, {int})"),
        ("bool", "contains(li, 5.0)"),
        ("big", "cardinality({texts})"),
        ("big", "cardinality(m)"),
        ("big", "cardinality(lp)"),
        ("int", "lp[1].a"),
        ("txt", "element_at(lp, 1).b"),
        ("ints", "sequence(1, {small})"),
        ("ints", "sequence({small}, 7, 3)"),
        ("ints", "sequence(5, {small}, -2)"),
        ("days", "sequence(DATE '2026-01-30', DATE '2026-03-02')"),
        ("days", "sequence(DATE '2026-01-31', DATE '2026-12-31', INTERVAL '1' MONTH)"),
        ("days", "sequence(DATE '2026-03-01', DATE '2026-01-01', INTERVAL '-7' DAY)"),
        ("days", "sequence(day, DATE '2026-02-28', INTERVAL '1' YEAR)"),
        ("days", "sequence(DATE '2024-02-29', DATE '2020-01-01', INTERVAL '-1' YEAR)"),
    ),
    "json": (
        *(
            ("txt", f"json_extract_scalar(j, '{path}')")
            for path in (
                "$.a",
                "$.b",
                "$.c",
                "$.c.d[0]",
                "$.c.d[2].e",
                "$[0]",
                "$[1][0]",
                "$",
                '$["a b"].c',
                "$.A",
                "$.nothing",
            )
        ),
        ("big", "json_array_length(j)"),
    ),
}
"""Family -> (kind of the result, template)."""

LEAVES_OF_LISTS: Final = {"texts": ("l", "ARRAY['a', 'b', NULL]"), "ints": ("li",), "days": ()}

AGGREGATES: Final[tuple[str, ...]] = (
    *("count(*)", "count({any})", "count(DISTINCT {any})", "count_if({bool})", "sum({exact})", "sum(DISTINCT {exact})"),
    *(
        "avg({dec})",
        "avg({int})",
        "avg(DISTINCT i)",
        "min({any})",
        "max({any})",
        "bool_and({bool})",
        "bool_or({bool})",
        "every({bool})",
    ),
    *(
        "max_by({any}, ROW(COALESCE(d, 0), id))",
        "max_by(s, ROW(d, id))",
        "min_by({any}, id)",
        "max_by(id, {any})",
        "array_agg(id ORDER BY id DESC)",
    ),
    *("array_agg({any} ORDER BY id)", "array_agg(s ORDER BY s)", "array_agg(DISTINCT u ORDER BY u DESC)"),
    *("array_agg(d ORDER BY d NULLS FIRST, id)", "listagg(u, ',') WITHIN GROUP (ORDER BY u)"),
    *(
        "array_join(array_agg(s ORDER BY id), ',')",
        "sum({exact}) FILTER (WHERE {bool})",
        "avg(d) FILTER (WHERE {bool})",
    ),
    *(
        "avg(i) FILTER (WHERE {bool})",
        "min({any}) FILTER (WHERE {bool})",
        "array_agg(id ORDER BY id) FILTER (WHERE {bool})",
    ),
    *(
        "sum({exact}) / count(*)",
        "CAST(avg(i) AS decimal(18,4))",
        "count(*) * 100.0 / sum(i)",
        "round(avg(d) * 1.19, 1)",
    ),
    *("max({day})", "max({ts})", "min({txt})"),
)

WINDOWS: Final[tuple[str, ...]] = (
    *("row_number() OVER (ORDER BY {any}, id)", "row_number() OVER (PARTITION BY g ORDER BY {any} DESC, id)"),
    *(
        "rank() OVER (ORDER BY {any})",
        "dense_rank() OVER (PARTITION BY b ORDER BY {any} DESC)",
        "ntile(4) OVER (ORDER BY id)",
    ),
    *("percent_rank() OVER (ORDER BY d)", "cume_dist() OVER (PARTITION BY g ORDER BY d)"),
    *(
        "lag({any}) OVER (ORDER BY id)",
        "lag(d, 2, 0) OVER (PARTITION BY g ORDER BY id)",
        "lead({any}, 3) OVER (ORDER BY id DESC)",
    ),
    *("lag(i) IGNORE NULLS OVER (ORDER BY id)", "first_value({any}) OVER (PARTITION BY g ORDER BY id)"),
    *("last_value({any}) OVER (PARTITION BY g ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)",),
    *("last_value(d) IGNORE NULLS OVER (ORDER BY id)", "nth_value(i, 2) OVER (PARTITION BY g ORDER BY id)"),
    *(
        "sum({dec}) OVER (PARTITION BY g)",
        "sum({int}) OVER (PARTITION BY g)",
        "sum(d) OVER (ORDER BY id)",
        "count(*) OVER (PARTITION BY b ORDER BY day)",
    ),
    *(
        "sum(d) OVER (ORDER BY id ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)",
        "avg(d) OVER (ORDER BY id ROWS 3 PRECEDING)",
    ),
    *(
        "avg(i) OVER (PARTITION BY g ORDER BY id)",
        "max({any}) OVER (ORDER BY id ROWS BETWEEN 1 FOLLOWING AND 3 FOLLOWING)",
    ),
    *("sum(i) OVER (ORDER BY day RANGE BETWEEN INTERVAL '30' DAY PRECEDING AND CURRENT ROW)",),
    *("count(*) OVER (ORDER BY i GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW)", "min({any}) OVER ()"),
    *("sum(CASE WHEN {bool} THEN d END) OVER (PARTITION BY g ORDER BY id)",),
    *("first_value(d) OVER (ORDER BY {any} NULLS FIRST, id)",),
)


@dataclass(frozen=True)
class Item:
    """One expression: its family, which says whether it is asked for rows, groups or over windows, and its SQL.

    nested: it was made of several templates, so one engine may need a part of it, and fail there, and the other not
    """

    family: str
    sql: str
    nested: bool = field(default=False, compare=False)

    @property
    def key(self) -> str:
        """The column that tells its answers apart."""
        return "g" if self.family == "aggregates" else "id"

    @property
    def keys(self) -> list[str]:
        """The values of that column."""
        return ["1", "2", "3", "4", "null"] if self.family == "aggregates" else [str(at + 1) for at in range(ROW_COUNT)]

    @property
    def select(self) -> str:
        """The SELECT that computes it, with a column by which the answer can be sorted."""
        if self.family == "aggregates":
            return f"SELECT g AS k, {self.sql} AS v FROM silver.t GROUP BY g"
        return f"SELECT id AS k, {self.sql} AS v FROM silver.t"


_PLACE: Final = re.compile(r"\{([a-z]+)\}")


def corpus(nested: int, *, seed: int = 0) -> list[Item]:
    """Return every template with every leaf, and `nested` more of templates inside of templates."""
    items: dict[str, Item] = {}
    for family, templates in [*ROWS.items(), ("aggregates", [("", one) for one in AGGREGATES])]:
        for _, template in templates:
            for sql in _filled(template):
                items.setdefault(sql, Item(family, sql))
    for template in WINDOWS:
        for sql in _filled(template):
            items.setdefault(sql, Item("windows", sql))
    chance = random.Random(seed)
    while nested > 0:
        family, (_, template) = chance.choice([(name, one) for name, family in ROWS.items() for one in family])
        sql = _PLACE.sub(lambda place: _random_value(place[1], 2, chance), template)
        if sql not in items:
            items[sql] = Item(family, sql, nested=True)
            nested -= 1
    return list(items.values())


def _leaves(kind: str) -> tuple[str, ...]:
    return LEAVES.get(kind) or LEAVES_OF_LISTS[kind]


def _filled(template: str) -> Iterator[str]:
    """Return the template with its leaves: all of one placeholder, of several every pair along the diagonals."""
    kinds = _PLACE.findall(template)
    choices = [_leaves(kind) for kind in kinds]
    combinations = list(product(*choices))
    if len(kinds) > 2:
        combinations = combinations[:: max(1, len(combinations) // 40)]
    for combination in combinations:
        texts = _PLACE.split(template)[::2]
        yield "".join(text + _in_brackets(value) for text, value in zip(texts, (*combination, ""), strict=True))


def _in_brackets(value: str) -> str:
    plain = value.startswith(("'", "DATE", "TIMESTAMP", "DECIMAL", "ARRAY", "IS "))
    return f"({value})" if " " in value and not plain else value


_MAKERS: Final = {
    kind: [template for family in ROWS.values() for made, template in family if made == kind]
    for kind in {made for family in ROWS.values() for made, _ in family}
}
_SUBKINDS: Final = {
    "num": ("int", "big", "dec", "num", "exact"),
    "exact": ("int", "big", "dec", "exact"),
    "any": ("txt", "day", "bool", "dec"),
}


_PLAIN: Final = {"op", "unit", "clock", "span", "shortspan", "small", "few"}


def _random_value(kind: str, depth: int, chance: random.Random) -> str:
    made = chance.choice(_SUBKINDS.get(kind, (kind,)))
    makers = _MAKERS.get(made, []) if kind not in _PLAIN else []
    if depth == 0 or not makers or chance.random() < 0.4:
        return _in_brackets(chance.choice(_leaves(kind)))
    filled = _PLACE.sub(lambda place: _random_value(place[1], depth - 1, chance), chance.choice(makers))
    return f"({filled})"
