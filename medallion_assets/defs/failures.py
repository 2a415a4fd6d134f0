"""What our errors mean to Dagster: retry the step in a moment, or fail it with one clear sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import dagster as dg

from medallion_assets.errors import CommitConflict, LakeUnavailable, MedallionError

MAX_RETRIES: Final = 3
FIRST_PAUSE_SECONDS: Final = 1.0
"""The pause doubles. After a longer outage the next run takes what is pending, so this one need not wait for it."""


@contextmanager
def translate_errors(
    context: dg.AssetExecutionContext | dg.OpExecutionContext | dg.AssetCheckExecutionContext,
) -> Iterator[None]:
    """Raise RetryRequested for an error that passes by itself, and Failure without retries for any other of ours.

    What the libraries raise for a store that does not answer, or for a file that is lost, counts as ours.
    """
    from medallion_assets.lake.outage import translate_outages

    try:
        with translate_outages():
            yield
    except (LakeUnavailable, CommitConflict) as passing:
        pause = FIRST_PAUSE_SECONDS * 2**context.retry_number
        raise dg.RetryRequested(max_retries=MAX_RETRIES, seconds_to_wait=pause) from passing
    except MedallionError as lasting:
        raise dg.Failure(description=str(lasting), allow_retries=False) from lasting
