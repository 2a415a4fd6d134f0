"""The certificate of Dagster's page: issued, in the right place, for the hostname, and not about to expire."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from medallion_assets.doctor.account import Account
from medallion_assets.doctor.assembly import Assembly
from medallion_assets.doctor.finding import Finding, code, ok, warning, wrong

_SOON: Final = timedelta(days=30)
PAGE_URL: Final = "PageUrl"
"""The output of the Orchestrator stack with the address that people open."""


def find_certificates(assembly: Assembly) -> list[tuple[str, str]]:
    """Return the ARN of each certificate with the hostname that it is for: that of the page, and that of viewers."""
    listeners = assembly.of_type("AWS::ElasticLoadBalancingV2::Listener")
    more = assembly.of_type("AWS::ElasticLoadBalancingV2::ListenerCertificate")
    of_page, of_viewers = (
        [one["CertificateArn"] for resource in found for one in resource.properties.get("Certificates", [])]
        for found in (listeners, more)
    )
    page = urlsplit(assembly.outputs.get(PAGE_URL, "")).hostname or ""
    hosts = [
        host
        for rule in assembly.of_type("AWS::ElasticLoadBalancingV2::ListenerRule")
        for condition in rule.properties["Conditions"]
        for host in condition.get("HostHeaderConfig", {}).get("Values", [])
    ]
    return [(arn, page) for arn in of_page] + [(arn, host) for arn in of_viewers or of_page for host in hosts]


def check_certificate(arn: str, hostname: str, assembly: Assembly, account: Account) -> Iterator[Finding]:
    """Yield what is wrong with the certificate of a page, or one line that nothing is."""
    subject, (_, _, _, region, owner, *_) = f"certificate of {hostname}", arn.split(":")
    if (region, owner) != (assembly.region, assembly.account):
        yield wrong(
            subject,
            f"{arn} is in {owner}, {region}; the load balancer takes one in {assembly.account}, {assembly.region}",
            "aws acm request-certificate there, and its ARN in `orchestrator.certificate_arn`",
        )
        return
    try:
        found = account.client("acm").describe_certificate(CertificateArn=arn)["Certificate"]
    except ClientError as refused:
        if code(refused) != "ResourceNotFoundException":
            raise
        yield wrong(subject, f"there is no {arn}", "correct `orchestrator.certificate_arn`")
        return
    names = found.get("SubjectAlternativeNames") or [found["DomainName"]]
    if found["Status"] != "ISSUED":
        yield wrong(
            subject,
            f"its status is {found['Status']}",
            "put the records that aws acm describe-certificate shows in DNS",
        )
    elif not any(covers(name, hostname) for name in names):
        yield wrong(subject, f"it is for {', '.join(names)}", "request one for the hostname")
    elif found.get("NotAfter") is not None and found["NotAfter"] < datetime.now(UTC) + _SOON:
        renewed = "see why ACM does not renew it" if found.get("Type") == "AMAZON_ISSUED" else "import a newer one"
        yield warning(subject, f"it expires at {found['NotAfter']:%Y-%m-%d}", renewed)
    else:
        yield ok(subject, f"issued for {', '.join(names)}")


def covers(name: str, hostname: str) -> bool:
    """Return whether a certificate's name is the hostname's; a star stands for one label (RFC 6125, 6.4.3)."""
    if name.startswith("*."):
        return hostname.partition(".")[2].lower() == name[2:].lower()
    return name.lower() == hostname.lower()
