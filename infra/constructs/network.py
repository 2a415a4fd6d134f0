"""The network of Dagster: the VPC, one security group per part, and which of them reach which.

Belongs here: subnets, endpoints, ports. Does not belong here: what runs in them.
"""

from __future__ import annotations

from typing import Final

from aws_cdk import Fn, Stack
from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from infra.findings import accept
from infra.log_groups import log_group
from infra.settings import Environment, ExistingNetwork

WEB_PORT: Final = 3000
CODE_PORT: Final = 4000
_DATABASE_PORT: Final = 5432

_CLOSES_THE_DEFAULT_GROUP: Final = "the CDK's own function: CloudFormation calls it once, and fails if it does"
_DEFAULT_GROUP_FINDINGS: Final = {
    "CKV_AWS_115": _CLOSES_THE_DEFAULT_GROUP,
    "CKV_AWS_116": _CLOSES_THE_DEFAULT_GROUP,
    "CKV_AWS_117": "it calls EC2's API, and nothing inside the VPC",
}


class Network(Construct):
    """The VPC and the security groups `balancer`, `webserver`, `code`, `daemon` and `database`."""

    def __init__(self, scope: Construct, settings: Environment) -> None:
        super().__init__(scope, "Network")
        self._settings = settings
        existing = settings.orchestrator.network
        self.vpc: ec2.IVpc = self._vpc() if existing is None else self._existing_vpc(existing)
        self.groups = {name: self._group(name) for name in ("balancer", "webserver", "code", "daemon", "database")}
        self._open_ports()

    def _vpc(self) -> ec2.Vpc:
        settings = self._settings
        vpc = ec2.Vpc(
            self,
            "Vpc",
            vpc_name=settings.prefix,
            ip_addresses=ec2.IpAddresses.cidr(settings.orchestrator.vpc_cidr),
            availability_zones=[Fn.select(number, Fn.get_azs()) for number in range(2)],
            nat_gateways=settings.orchestrator.nat_gateways,
            subnet_configuration=[
                ec2.SubnetConfiguration(
                    name="public", subnet_type=ec2.SubnetType.PUBLIC, cidr_mask=24, map_public_ip_on_launch=False
                ),
                ec2.SubnetConfiguration(name="private", subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS, cidr_mask=22),
                ec2.SubnetConfiguration(name="data", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED, cidr_mask=24),
            ],
            restrict_default_security_group=True,
        )
        provider = Stack.of(self).node.find_child("Custom::VpcRestrictDefaultSGCustomResourceProvider")
        accept(provider.node.find_child("Handler"), **_DEFAULT_GROUP_FINDINGS)
        # The lake is the bulk of the traffic, the tables' scans come next; over these gateways both cost nothing.
        vpc.add_gateway_endpoint("S3", service=ec2.GatewayVpcEndpointAwsService.S3)
        vpc.add_gateway_endpoint("DynamoDB", service=ec2.GatewayVpcEndpointAwsService.DYNAMODB)
        vpc.add_flow_log(
            "FlowLog",
            destination=ec2.FlowLogDestination.to_cloud_watch_logs(
                log_group(self, "Log", settings, f"/{settings.prefix}/vpc")
            ),
            traffic_type=ec2.FlowLogTrafficType.REJECT,
        )
        return vpc

    def _existing_vpc(self, network: ExistingNetwork) -> ec2.IVpc:
        """Return the VPC that exists, by its ids: synthesising asks no account. Its endpoints are its owner's."""
        return ec2.Vpc.from_vpc_attributes(
            self,
            "Vpc",
            vpc_id=network.vpc_id,
            vpc_cidr_block=self._settings.orchestrator.vpc_cidr,
            availability_zones=list(network.zones),
            public_subnet_ids=list(network.public_subnets) or None,
            private_subnet_ids=list(network.private_subnets),
            isolated_subnet_ids=list(network.database_subnets),
        )

    def _group(self, name: str) -> ec2.SecurityGroup:
        # The database and the balancer open nothing by themselves; the sign-in adds one rule to the balancer.
        return ec2.SecurityGroup(
            self,
            f"Group{name}",
            vpc=self.vpc,
            security_group_name=f"{self._settings.prefix}-{name}",
            description=f"Dagster {name}",
            allow_all_outbound=name not in {"balancer", "database"},
        )

    def _open_ports(self) -> None:
        groups, orchestrator = self.groups, self._settings.orchestrator
        for group in ("webserver", "code", "daemon"):
            groups["database"].add_ingress_rule(groups[group], ec2.Port.tcp(_DATABASE_PORT), f"PostgreSQL from {group}")
        for group in ("webserver", "daemon"):
            groups["code"].add_ingress_rule(groups[group], ec2.Port.tcp(CODE_PORT), f"code server from {group}")
        groups["webserver"].add_ingress_rule(groups["balancer"], ec2.Port.tcp(WEB_PORT), "page from the balancer")
        groups["balancer"].add_egress_rule(groups["webserver"], ec2.Port.tcp(WEB_PORT), "page")
        for ranged in orchestrator.reachable_from or (orchestrator.vpc_cidr,):
            groups["balancer"].add_ingress_rule(ec2.Peer.ipv4(ranged), ec2.Port.tcp(443), "who may open the page")
