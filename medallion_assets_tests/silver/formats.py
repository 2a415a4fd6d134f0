"""Hypothesis strategies: columns whose values are written otherwise, and values that fit them or nearly do."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from medallion_assets_tests.silver.values import Tagged, anything, days, moments, numbers

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu"]
PATTERNS = ["dd.MM.yyyy", "d/M/yyyy", "yyyyMMdd"]
TIME_PATTERNS = ["dd.MM.yyyy HH:mm", "d.M.yyyy H:mm:ss", "yyyy-MM-dd HH:mm:ss.SSS", "yyyyMMddTHHmmssSS"]
NUMERIC = ["int", "bigint", "decimal(12,2)", "decimal(38,0)", "decimal(38,37)", "decimal(3,3)"]
TEMPLATES = ["{v}", "A#{v}", "A#{v}#{rest}", "{rest}--{v}", "x.{rest}.{v}.y"]

_LOCAL = st.one_of(
    st.datetimes(min_value=datetime(1950, 1, 1), max_value=datetime(2090, 1, 1)),  # noqa: DTZ001
    # Near a change of the clock, in which half an hour or an hour is there twice or not at all.
    st.builds(
        lambda day, seconds: datetime.fromisoformat(day) + timedelta(seconds=seconds),
        st.sampled_from(
            ["2026-03-29", "2026-10-25", "2026-03-08", "2026-11-01", "2026-04-05", "2026-10-04", "2011-12-30"]
        ),
        st.integers(0, 4 * 3600),
    ),
)
_EPOCHS = st.one_of(
    st.integers(-(10**12), 5 * 10**12),
    st.sampled_from(
        [0, 10**8 - 1, 10**8, 4_102_444_799, 4_102_444_800, 10**11 - 1, 10**11, 253_402_300_799, -62_135_596_801]
    ),
)
_SHORT = st.sampled_from(
    ["0", "0.5", "0.0000005", "0.0000004999", "-0.0000005", "-0.00000050001", "1.2345678", "-1.0005"]
)
_WORDS = st.sampled_from(
    ["true", "FALSE", "Yes", "no", "1", "0", "Ja", "nein", "", "y", "\u212a", "\u017fchon", "wahr"]
)


@st.composite
def columns(draw: st.DrawFn) -> dict[str, Any]:
    """A column as a contract says it, in one or several formats, with or without the rest."""
    said: dict[str, Any] = draw(
        st.one_of(
            st.fixed_dictionaries(
                {
                    "type": st.sampled_from([*NUMERIC, "double"]),
                    "from": st.sampled_from(["text", ["number", "text"], "number"]),
                }
            ),
            st.fixed_dictionaries(
                {
                    "type": st.just("bool"),
                    "from": st.sampled_from(["text", "number", "ja/nein", ["bool", "text", "number"]]),
                }
            ),
            st.fixed_dictionaries(
                {
                    "type": st.just("date"),
                    "from": st.sampled_from([*PATTERNS, "epoch_days", ["iso", "epoch_days", "dd.MM.yyyy"]]),
                }
            ),
            st.fixed_dictionaries(
                {
                    "type": st.just("timestamp"),
                    "from": st.sampled_from(
                        [
                            "epoch_seconds",
                            "epoch_millis",
                            ["iso", "epoch_seconds", "epoch_millis"],
                            ["epoch_seconds", "epoch_millis"],
                        ]
                    ),
                }
            ),
            st.fixed_dictionaries(
                {
                    "type": st.just("timestamp"),
                    "from": st.sampled_from(["iso", *TIME_PATTERNS, ["dd.MM.yyyy HH:mm", "iso", "epoch_millis"]]),
                    "zone": st.sampled_from(ZONES),
                }
            ),
            st.just({"type": "string", "empty_as_null": True}),
        )
    )
    if said["type"] in {*NUMERIC, "timestamp"}:
        said["fraction"] = draw(st.sampled_from(["refuse", "round", "cut"]))
    if draw(st.booleans()):
        said["empty_as_null"] = True
    if draw(st.integers(0, 3)) == 0:
        said["default"] = {
            "bool": True,
            "string": "none",
            "date": "2020-02-29",
            "timestamp": "2020-02-29T01:00:00+01:00",
        }.get(said["type"], 0)
    if "number" not in said.get("from", ()) and "bool" not in said.get("from", ()) and draw(st.integers(0, 3)) == 0:
        said["part"] = draw(st.sampled_from(TEMPLATES))
    return said


def written(said: dict[str, Any]) -> st.SearchStrategy[Tagged]:
    """Values for a column of `columns`."""
    text = _texts(said["type"])
    if "part" in said:
        part = said["part"]
        text = st.one_of(
            st.builds(
                lambda v, rest: part.replace("{v}", v).replace("{rest}", rest),
                text,
                st.sampled_from(["a", "7", "#", ""]),
            ),
            text,
        )
    number = st.one_of(numbers(), _EPOCHS.map(str), _SHORT)
    return st.one_of(
        text.map(lambda one: {"S": one}),
        text.map(lambda one: {"S": one}),
        number.map(lambda one: {"N": one}),
        st.sampled_from([{"NULL": True}, {"S": ""}, {"BOOL": True}, {"BOOL": False}]),
        anything,
    )


def _texts(type_: str) -> st.SearchStrategy[str]:
    number = st.one_of(
        numbers(),
        _EPOCHS.map(str),
        _SHORT,
        st.sampled_from(["007", "+1", " 1", "1.", ".5", "1e5", "1E-999", "1e999", "9" * 100, "9" * 101]),
    )
    match type_:
        case "bool":
            return _WORDS
        case "date":
            return st.one_of(
                days,
                number,
                st.dates().map(lambda day: f"{day.day:02}.{day.month:02}.{day.year:04}"),
                st.dates().map(lambda day: f"{day.day}/{day.month}/{day.year:04}"),
                st.dates().map(lambda day: f"{day.year:04}{day.month:02}{day.day:02}"),
                st.sampled_from(["31.02.2026", "00.01.2026", "1.1.2026", "01.01.0000", "29.02.2023"]),
            )
        case "timestamp":
            return st.one_of(
                moments,
                number,
                _LOCAL.map(lambda at: at.isoformat()),
                st.builds(
                    lambda at, more: at.isoformat(timespec="microseconds") + more,
                    _LOCAL,
                    st.sampled_from(["", "5", "49Z", "5+02:00", "000", "Z"]),
                ),
                _LOCAL.map(lambda at: f"{at:%d.%m.%Y %H:%M}"),
                _LOCAL.map(lambda at: f"{at.day}.{at.month}.{at.year} {at.hour}:{at:%M:%S}"),
                _LOCAL.map(lambda at: f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03}"),
                _LOCAL.map(lambda at: f"{at:%Y%m%dT%H%M%S}{at.microsecond // 10000:02}"),
                st.sampled_from(["29.02.2023 10:00", "01.01.2026 24:00", "9999-12-31T23:59:59.9999999Z"]),
            )
        case _:
            return number
