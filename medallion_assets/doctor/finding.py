"""What a check of the preflight found: one line, and what to do about it.

Belongs here: the levels, and what becomes of a request that AWS did not answer. Does not belong here: any check.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from botocore.exceptions import BotoCoreError, ClientError


class Level(StrEnum):
    """How serious a finding is."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"
    """The deployment fails, or what it deploys does not work."""
    NOT_ASKED = "not asked"
    """AWS did not answer the question: nothing is known."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was seen of a subject, and what to do; `fix` is empty if there is nothing to do."""

    level: Level
    subject: str
    seen: str
    fix: str = ""


def ok(subject: str, seen: str) -> Finding:
    """Return a finding of something that is as it has to be."""
    return Finding(Level.OK, subject, seen)


def warning(subject: str, seen: str, fix: str) -> Finding:
    """Return a finding that does not stop a deployment."""
    return Finding(Level.WARNING, subject, seen, fix)


def wrong(subject: str, seen: str, fix: str) -> Finding:
    """Return a finding that has to be corrected before the deployment."""
    return Finding(Level.WRONG, subject, seen, fix)


def not_asked(subject: str, why: str, fix: str = "") -> Finding:
    """Return a finding of something that could not be asked."""
    return Finding(Level.NOT_ASKED, subject, why, fix)


def answered(subject: str, findings: Iterator[Finding]) -> Iterator[Finding]:
    """Yield the findings; a request that is refused or not answered ends them with `not asked`."""
    try:
        yield from findings
    except ClientError as refused:
        said = refused.response.get("Error", {})
        why = ": ".join(part for part in (said.get("Code", ""), said.get("Message", "")) if part)
        yield not_asked(subject, f"{refused.operation_name} was refused: {why}")
    except BotoCoreError as unanswered:
        yield not_asked(subject, str(unanswered))


def code(refused: ClientError) -> str:
    """Return AWS's code of the error."""
    return str(refused.response.get("Error", {}).get("Code", ""))
