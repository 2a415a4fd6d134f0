"""The IAM policy that a caller lacks, ready to paste.

Belongs here: actions and resources of the statements. Does not belong here: finding out what is refused (probe).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from medallion_assets.connect.caller import Caller
from medallion_assets.connect.probe import STREAM_ACTIONS, TABLE_ACTIONS, Action
from medallion_assets.connect.table_check import TableCheck

_LIST: Final = "ListStreams"
"""IAM knows no resource for it."""


def missing_policy(checks: Iterable[TableCheck], caller: Caller) -> dict[str, Any] | None:
    """Return a policy with exactly what is missing of each table; None if nothing is."""
    lacking = [check for check in checks if check.missing]
    statements = [
        *_by_actions("ReadTables", lacking, TABLE_ACTIONS, caller, suffix=""),
        *_by_actions(
            "ReadStreams", lacking, [one for one in STREAM_ACTIONS if one != _LIST], caller, suffix="/stream/*"
        ),
    ]
    if any(_LIST in check.missing for check in lacking):
        statements.append(_statement("ListStreams", [_LIST], ["*"]))
    return {"Version": "2012-10-17", "Statement": statements} if statements else None


def _by_actions(
    name: str, checks: Sequence[TableCheck], wanted: Sequence[Action], caller: Caller, *, suffix: str
) -> list[dict[str, Any]]:
    """Return a statement for each set of actions: tables that lack the same share one."""
    tables: dict[tuple[Action, ...], list[str]] = {}
    for check in checks:
        if actions := tuple(action for action in wanted if action in check.missing):
            tables.setdefault(actions, []).append(caller.table_arn(check.source) + suffix)
    return [
        _statement(name if number == 1 else f"{name}{number}", actions, arns)
        for number, (actions, arns) in enumerate(tables.items(), start=1)
    ]


def _statement(name: str, actions: Sequence[Action], resources: Sequence[str]) -> dict[str, Any]:
    return {
        "Sid": name,
        "Effect": "Allow",
        "Action": [f"dynamodb:{action}" for action in actions],
        "Resource": list(resources),
    }
