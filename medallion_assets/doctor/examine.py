"""The preflight: every check of an environment, in the order in which one would correct what is wrong.

Belongs here: which checks there are. Does not belong here: any check, and how findings are shown (cli.doctor).
"""

from __future__ import annotations

from collections.abc import Iterator

from medallion_assets.doctor.account import Account
from medallion_assets.doctor.assembly import Assembly
from medallion_assets.doctor.bootstrap import check_bootstrap, check_region
from medallion_assets.doctor.certificate import check_certificate, find_certificates
from medallion_assets.doctor.existing import check_existing
from medallion_assets.doctor.finding import Finding, Level, answered
from medallion_assets.doctor.identity import check_account, check_endpoint
from medallion_assets.doctor.kinesis import check_destination, written_streams
from medallion_assets.doctor.lake_formation import check_lake_formation
from medallion_assets.doctor.mappings import check_mappings
from medallion_assets.doctor.names import check_names
from medallion_assets.doctor.permissions import check_execution, check_role
from medallion_assets.doctor.quotas import check_quotas
from medallion_assets.doctor.sign_in import check_sign_in
from medallion_assets.doctor.stacks import check_stack
from medallion_assets.doctor.tables import check_table, existing_tables


def examine(assembly: Assembly, account: Account) -> Iterator[Finding]:
    """Yield what is found. If the credentials are of another account, that is the only finding.

    Raises ClientError and BotoCoreError if nobody says whose the credentials are.
    """
    whose = check_account(assembly, account)
    yield whose
    if whose.level is not Level.OK:
        return
    yield from check_endpoint(account)
    yield from answered("region", check_region(assembly, account))
    yield from answered("bootstrap", check_bootstrap(assembly, account))
    for role in assembly.deploying_roles:
        yield from answered(f"role {role.rpartition('/')[2]}", check_role(role, account))
    yield from answered("role of CloudFormation", check_execution(assembly, account))
    for stack in assembly.stacks:
        yield from answered(f"stack {stack}", check_stack(stack, account))
    yield from check_names(assembly, account)
    yield from check_existing(assembly, account)
    yield from check_quotas(assembly, account)
    for stream, mapping in existing_tables(assembly).items():
        table = stream.partition("/stream/")[0].partition(":table/")[2]
        yield from answered(f"table {table}", check_table(stream, mapping, assembly, account))
    for stream, tables in written_streams(assembly).items():
        for table in tables:
            yield from answered(f"table {table}: Kinesis", check_destination(table, stream, account))
    yield from answered("mappings", check_mappings(assembly, account))
    for certificate, hostname in find_certificates(assembly):
        checked = check_certificate(certificate, hostname, assembly, account)
        yield from answered(f"certificate of {hostname}", checked)
    yield from check_sign_in(assembly, account)
    yield from answered("Lake Formation", check_lake_formation(assembly, account))
