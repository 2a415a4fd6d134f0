"""The entrance to Dagster's page: a load balancer with HTTPS and a sign-in, since Dagster has none.

Dagster knows no roles either: who may open a page may do all that it does. So viewers have a page of their own, which
is read-only, with a sign-in of their own. Belongs here: the balancer, its listener and certificates, the user pools.
Does not belong here: who may be let in (people are added by hand; docs/deploy.md).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from aws_cdk import Duration, SecretValue
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
from infra.settings import CognitoSignIn, Environment, OidcSignIn

_WORKING_DAY: Final = Duration.hours(12)
"""How long a sign-in lasts; the load balancer's default is a week."""


class _Pool(NamedTuple):
    """Whose sign-in it is: how its constructs begin, its user pool is called and output, and its domain begins."""

    prefix: str
    name: str
    domain: str
    output: str


_PEOPLE: Final = _Pool("", "dagster", "", "user-pool")
_VIEWERS: Final = _Pool("Viewers", "viewers", "viewers-", "viewers-user-pool")


class Entrance(Construct):
    """The way to the webserver: from inside the VPC only, unless the settings name ranges of addresses."""

    def __init__(
        self,
        scope: Construct,
        settings: Environment,
        *,
        network: Network,
        webserver: ecs.FargateService,
        viewer: ecs.FargateService | None,
        access_logs: s3.IBucket,
    ) -> None:
        super().__init__(scope, "Entrance")
        self.user_pools: dict[str, str] = {}
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
        self.target = self._target("Target", network, webserver)
        page = elb.ListenerAction.forward([self.target])
        listener = balancer.add_listener(
            "Https",
            port=443,
            open=False,
            certificates=[acm.Certificate.from_certificate_arn(self, "Certificate", orchestrator.certificate_arn)],
            ssl_policy=elb.SslPolicy.TLS13_RES,
            default_action=self._sign_in(settings, _PEOPLE, orchestrator.hostname, orchestrator.sign_in, page),
        )
        if (viewers := orchestrator.viewers) is not None and viewer is not None:
            page = elb.ListenerAction.forward([self._target("ViewersTarget", network, viewer)])
            if viewers.certificate_arn != orchestrator.certificate_arn:
                listener.add_certificates("ViewersCertificate", [elb.ListenerCertificate(viewers.certificate_arn)])
            listener.add_action(
                "Viewers",
                priority=1,
                conditions=[elb.ListenerCondition.host_headers([viewers.hostname])],
                action=self._sign_in(settings, _VIEWERS, viewers.hostname, viewers.sign_in, page),
            )
        self.address: str = balancer.load_balancer_dns_name
        self.balancer_arn: str = balancer.load_balancer_arn

    def _target(self, name: str, network: Network, webserver: ecs.FargateService) -> elb.ApplicationTargetGroup:
        return elb.ApplicationTargetGroup(
            self,
            name,
            vpc=network.vpc,
            port=WEB_PORT,
            protocol=elb.ApplicationProtocol.HTTP,
            targets=[webserver],
            deregistration_delay=Duration.seconds(15),
            health_check=elb.HealthCheck(path="/server_info", healthy_http_codes="200"),
        )

    def _sign_in(
        self,
        settings: Environment,
        whose: _Pool,
        hostname: str,
        sign_in: CognitoSignIn | OidcSignIn | None,
        page: elb.ListenerAction,
    ) -> elb.ListenerAction:
        """Return the action that lets people to the page of this name who have signed in."""
        users: cognito.IUserPool
        domain: cognito.IUserPoolDomain
        match sign_in:
            case OidcSignIn() as provider:
                return elb.ListenerAction.authenticate_oidc(
                    next=page,
                    issuer=provider.issuer,
                    authorization_endpoint=provider.authorization_endpoint,
                    token_endpoint=provider.token_endpoint,
                    user_info_endpoint=provider.user_info_endpoint,
                    client_id=provider.client_id,
                    client_secret=SecretValue.secrets_manager(provider.client_secret_arn),
                    session_timeout=_WORKING_DAY,
                )
            case CognitoSignIn() as pool:
                users = cognito.UserPool.from_user_pool_arn(self, f"{whose.prefix}Users", pool.user_pool_arn)
                domain = cognito.UserPoolDomain.from_domain_name(self, f"{whose.prefix}SignIn", pool.domain)
            case None:
                users, domain = self._user_pool(settings, whose)
        self.user_pools[whose.output] = users.user_pool_id
        client = users.add_client(
            f"{whose.prefix}Page",
            generate_secret=True,
            prevent_user_existence_errors=True,
            o_auth=cognito.OAuthSettings(
                flows=cognito.OAuthFlows(authorization_code_grant=True),
                scopes=[cognito.OAuthScope.OPENID],
                callback_urls=[f"https://{hostname}/oauth2/idpresponse"],
            ),
        )
        return elb_actions.AuthenticateCognitoAction(
            next=page,
            user_pool=users,
            user_pool_client=client,
            user_pool_domain=domain,
            session_timeout=_WORKING_DAY,
        )

    def _user_pool(self, settings: Environment, whose: _Pool) -> tuple[cognito.UserPool, cognito.UserPoolDomain]:
        """Return a new pool of the people who may sign in, and the domain of its form."""
        users = cognito.UserPool(
            self,
            f"{whose.prefix}Users",
            user_pool_name=f"{settings.prefix}-{whose.name}",
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
        domain = users.add_domain(
            f"{whose.prefix}SignIn",
            cognito_domain=cognito.CognitoDomainOptions(
                domain_prefix=f"{settings.prefix}-{whose.domain}{settings.account}"
            ),
        )
        return users, domain
