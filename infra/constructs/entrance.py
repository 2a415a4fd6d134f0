"""The entrance to Dagster's page: a load balancer with HTTPS and a sign-in, since Dagster has none.

Belongs here: the balancer, its listener and certificate, the user pool. Does not belong here: who may be let in (people
are added by hand; docs/deploy.md).
"""

from __future__ import annotations

from aws_cdk import Duration
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_cognito as cognito
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_elasticloadbalancingv2 as elb
from aws_cdk import aws_elasticloadbalancingv2_actions as elb_actions
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.constructs.network import WEB_PORT, Network
from infra.findings import acknowledge
from infra.removal import removal_policy
from infra.settings import Environment


class Entrance(Construct):
    """The way to the webserver: from inside the VPC only, unless the settings name ranges of addresses."""

    def __init__(
        self,
        scope: Construct,
        settings: Environment,
        *,
        network: Network,
        webserver: ecs.FargateService,
        access_logs: s3.IBucket,
    ) -> None:
        super().__init__(scope, "Entrance")
        orchestrator = settings.orchestrator
        public = bool(orchestrator.reachable_from)
        balancer = elb.ApplicationLoadBalancer(
            self,
            "Balancer",
            load_balancer_name=f"{settings.prefix}-dagster",
            vpc=network.vpc,
            vpc_subnets=ec2.SubnetSelection(
                subnet_type=ec2.SubnetType.PUBLIC if public else ec2.SubnetType.PRIVATE_WITH_EGRESS
            ),
            internet_facing=public,
            security_group=network.groups["balancer"],
            deletion_protection=settings.protected,
            drop_invalid_header_fields=True,
        )
        balancer.log_access_logs(access_logs, "dagster-page")
        users, client, domain = self._sign_in(settings)
        target = elb.ApplicationTargetGroup(
            self,
            "Target",
            vpc=network.vpc,
            port=WEB_PORT,
            protocol=elb.ApplicationProtocol.HTTP,
            targets=[webserver],
            deregistration_delay=Duration.seconds(15),
            health_check=elb.HealthCheck(path="/server_info", healthy_http_codes="200"),
        )
        balancer.add_listener(
            "Https",
            port=443,
            open=False,
            certificates=[acm.Certificate.from_certificate_arn(self, "Certificate", orchestrator.certificate_arn)],
            ssl_policy=elb.SslPolicy.TLS13_RES,
            default_action=elb_actions.AuthenticateCognitoAction(
                next=elb.ListenerAction.forward([target]),
                user_pool=users,
                user_pool_client=client,
                user_pool_domain=domain,
                session_timeout=Duration.hours(12),  # a working day; the default is a week
            ),
        )
        self.target = target
        self.address: str = balancer.load_balancer_dns_name
        self.balancer_arn: str = balancer.load_balancer_arn
        self.user_pool_id: str = users.user_pool_id

    def _sign_in(
        self, settings: Environment
    ) -> tuple[cognito.UserPool, cognito.UserPoolClient, cognito.UserPoolDomain]:
        """The people who may sign in, the page as a client of that, and the domain of its form."""
        users = cognito.UserPool(
            self,
            "Users",
            user_pool_name=f"{settings.prefix}-dagster",
            self_sign_up_enabled=False,
            sign_in_aliases=cognito.SignInAliases(email=True),
            mfa=cognito.Mfa.REQUIRED,
            mfa_second_factor=cognito.MfaSecondFactor(otp=True, sms=False),
            password_policy=cognito.PasswordPolicy(
                min_length=14,
                require_digits=True,
                require_lowercase=True,
                require_uppercase=True,
                require_symbols=True,
                temp_password_validity=Duration.days(3),
            ),
            account_recovery=cognito.AccountRecovery.EMAIL_ONLY,
            deletion_protection=settings.protected,
            removal_policy=removal_policy(settings),
        )
        acknowledge(
            users, "AwsSolutions-COG8", "few people sign in, with a second factor; the Plus tier is priced per user"
        )
        client = users.add_client(
            "Page",
            generate_secret=True,
            prevent_user_existence_errors=True,
            o_auth=cognito.OAuthSettings(
                flows=cognito.OAuthFlows(authorization_code_grant=True),
                scopes=[cognito.OAuthScope.OPENID],
                callback_urls=[f"https://{settings.orchestrator.hostname}/oauth2/idpresponse"],
            ),
        )
        domain = users.add_domain(
            "SignIn",
            cognito_domain=cognito.CognitoDomainOptions(domain_prefix=f"{settings.prefix}-{settings.account}"),
        )
        return users, client, domain
