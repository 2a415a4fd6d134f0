"""The event source mappings that are deployed: each reads the stream that its table writes.

A table whose stream was switched off and on has another stream. The mapping of the old one stays, reads nothing, and
has no error. Belongs here: that comparison. Does not belong here: the settings of a mapping (capture.mapping).
"""

from __future__ import annotations

from collections.abc import Iterator

from botocore.exceptions import ClientError

from medallion_assets.doctor.account import Account
from medallion_assets.doctor.assembly import Assembly
from medallion_assets.doctor.finding import Finding, answered, code, not_asked, ok, wrong


def check_mappings(assembly: Assembly, account: Account) -> Iterator[Finding]:
    """Yield one line for each mapping that is deployed."""
    deployed = [account.physical_id(mapping) for mapping in assembly.of_type("AWS::Lambda::EventSourceMapping")]
    for uuid in deployed:
        if uuid is not None:
            yield from answered(f"mapping {uuid}", _check_mapping(uuid, account))
    if not any(deployed):
        yield not_asked("mappings", "none is deployed yet")


def _check_mapping(uuid: str, account: Account) -> Iterator[Finding]:
    try:
        mapping = account.client("lambda").get_event_source_mapping(UUID=uuid)
    except ClientError as refused:
        if code(refused) != "ResourceNotFoundException":
            raise
        yield wrong(f"mapping {uuid}", "it was deployed, and is gone", "deploy Capture again after cdk drift")
        return
    reads, state = mapping["EventSourceArn"], mapping["State"]
    arn = reads.partition("/stream/")[0]
    if ":kinesis:" in reads:
        subject = f"mapping of {reads.rpartition(':')[2]}"
        writes = reads  # Which tables write to it is their own check (kinesis).
    else:
        subject = f"mapping of {arn.partition(':table/')[2]}"
        table = account.table(arn)
        writes = table.get("LatestStreamArn") if table is not None else None
    if writes != reads:
        yield wrong(
            subject,
            f"it reads {reads}; the table writes {writes or 'no stream'}",
            "write the table's stream into `sources.streams` and deploy Capture; then run a repair of the table, since "
            "changes in between are in no stream that was read",
        )
    elif state not in {"Enabled", "Enabling", "Updating", "Creating"}:
        yield wrong(
            subject,
            f"it is {state}: {mapping.get('StateTransitionReason', 'no reason is given')}",
            f"aws lambda update-event-source-mapping --uuid {uuid} --enabled",
        )
    else:
        yield ok(subject, f"{state}, reads {'its stream' if ':kinesis:' in reads else 'the stream of its table'}")
