"""How the values of an attribute are written, for its column in a proposed contract.

Belongs here: when a format is likely enough to be proposed. Does not belong here: the forms of single values (forms),
and the types of values that are written in DynamoDB's own types (propose).

A format is proposed only if every value that was seen fits it, and if it loses nothing: texts that may be names for
something (codes, telephone numbers) stay text even if each is a number.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from medallion_assets.contracts.names import snake_case
from medallion_assets.infer.forms import Form
from medallion_assets.infer.seen import Seen

_NAMES_SOMETHING: Final = re.compile(
    r"(^|_)(id|ids|uid|uuid|guid|key|code|number|no|nr|num|zip|plz|post\w*|phone|mobile|fax|tel|sku|ean|isbn|iban|bic|ref|reference|"
    r"account|card|pin|serial|version|pk|sk|name|hash|token)($|_)"
)
_IS_TIME: Final = re.compile(
    r"(^|_)(at|on|time|times|date|timestamp|ts|ttl|epoch|millis|ms|created|updated|modified|changed|deleted|expires|expiry|expiration|"
    r"since|until|start|started|end|ended|last|first|seen|login|born|when|day)($|_)"
)
_MANY: Final = 20
"""Occurrences after which a column that only ever said yes is one of truth values."""

_TIMES: Final[frozenset[Form]] = frozenset({"time", "local", "long", "local_long"})
_LOCAL: Final[frozenset[Form]] = frozenset({"local", "local_long", "pattern"})
_LONG: Final[frozenset[Form]] = frozenset({"long", "local_long"})

Written = tuple[dict[str, Any], list[str]]
"""What stands in a column, `type` included, and notes for a comment."""


def written(attribute: str, seen: Seen, number_type: Callable[[Seen], tuple[str, list[str]]]) -> Written | None:
    """Return how an attribute's values are written if that is not its type's own way; None if it is, or is unknown.

    `number_type` returns the type that takes the numbers that were seen, and notes.
    """
    forms = seen.forms.found - {"empty"}
    if not seen.kinds <= {"S", "N", "BOOL"} or "text" in forms:
        return None
    found = _truth(seen, forms) or _time(attribute, seen, forms) or _day(seen, forms)
    found = found or _number(attribute, seen, forms, number_type)
    if found is None:
        return None
    spec, notes = found
    if "empty" in seen.forms.found:
        return {**spec, "empty_as_null": True}, [*notes, "some texts are empty"]
    return found if len(spec) > 1 else None


def _truth(seen: Seen, forms: set[Form]) -> Written | None:
    if "N" in seen.kinds or not forms <= {"true", "false"}:
        return None
    if "BOOL" in seen.kinds:
        return {"type": "bool", **({"from": ["bool", "text"]} if forms else {})}, []
    if not forms or (len(forms) < 2 and seen.count < _MANY):
        return None
    return {"type": "bool", "from": "text"}, []


def _time(attribute: str, seen: Seen, forms: set[Form]) -> Written | None:
    texts, epochs = forms - {"number"}, seen.forms.epochs
    numbers = "N" in seen.kinds or "number" in forms
    patterns = [one for one in seen.forms.patterns if "HH" in one] if "pattern" in texts else []
    if "BOOL" in seen.kinds or not texts <= {*_TIMES, "pattern"} or not (texts or numbers):
        return None
    if "pattern" in texts and (not patterns or month_or_day_first(seen)):
        return None
    if numbers:
        digits = 3 if "epoch_millis" in epochs else 6
        if not epochs or not _IS_TIME.search(snake_case(attribute)) or seen.scale > digits:
            return None
    formats = [*(["iso"] if texts & _TIMES else []), *patterns[:1], *(epochs if numbers else ())]
    spec: dict[str, Any] = {"type": "timestamp"}
    notes = []
    if formats != ["iso"]:
        spec["from"] = formats[0] if len(formats) == 1 else formats
    if texts & _LOCAL:
        spec["zone"] = "UTC"
        notes.append("times without an offset: say in which zone they are")
    if texts & _LONG:
        spec["fraction"] = "cut"
        notes.append("more digits than microseconds")
    return spec, notes


def month_or_day_first(seen: Seen) -> bool:
    """Return whether nobody can know if the day or the month is first, because no day after the twelfth was seen."""
    patterns = seen.forms.patterns if "pattern" in seen.forms.found else ()
    return len({one.replace("d", "M") for one in patterns}) < len(patterns)


def _day(seen: Seen, forms: set[Form]) -> Written | None:
    if seen.kinds != {"S"} or not forms <= {"day", "pattern"}:
        return None
    if "pattern" not in forms:
        return {"type": "date"}, []
    patterns = [one for one in seen.forms.patterns if "HH" not in one]
    if not patterns or month_or_day_first(seen):
        return None
    return {"type": "date", "from": ["iso", patterns[0]] if "day" in forms else patterns[0]}, []


def _number(
    attribute: str, seen: Seen, forms: set[Form], number_type: Callable[[Seen], tuple[str, list[str]]]
) -> Written | None:
    if "BOOL" in seen.kinds or not forms <= {"number"}:
        return None
    if "number" in forms and (_NAMES_SOMETHING.search(snake_case(attribute)) or len(seen.values) < 2):
        return None
    type_, notes = number_type(seen)
    if type_ == "string":
        return None
    if not forms:
        return {"type": type_}, notes
    return {"type": type_, "from": ["number", "text"] if "N" in seen.kinds else "text"}, notes
