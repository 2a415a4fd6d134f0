"""What the account may cost in a month: the topic hears when it costs more, and when it is going to.

Belongs here: the whole account's costs, because costs by tag are empty until somebody activates the tag for billing.
Does not belong here: what things cost (medallion cost).
"""

from __future__ import annotations

from aws_cdk import aws_budgets as budgets
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra.settings import Environment


def add_budget(scope: Construct, settings: Environment, topic: sns.ITopic, *, usd: int) -> None:
    """Add a budget of `usd` dollars a month, which notifies the topic of actual and of forecast costs above it."""
    budgets.CfnBudget(
        scope,
        "Budget",
        budget=budgets.CfnBudget.BudgetDataProperty(
            budget_name=settings.prefix,
            budget_type="COST",
            time_unit="MONTHLY",
            budget_limit=budgets.CfnBudget.SpendProperty(amount=usd, unit="USD"),
        ),
        notifications_with_subscribers=[
            budgets.CfnBudget.NotificationWithSubscribersProperty(
                notification=budgets.CfnBudget.NotificationProperty(
                    notification_type=kind,
                    comparison_operator="GREATER_THAN",
                    threshold=100,
                    threshold_type="PERCENTAGE",
                ),
                subscribers=[budgets.CfnBudget.SubscriberProperty(subscription_type="SNS", address=topic.topic_arn)],
            )
            for kind in ("ACTUAL", "FORECASTED")
        ],
        resource_tags=[
            budgets.CfnBudget.ResourceTagProperty(key=key, value=value)
            for key, value in (
                ("project", settings.name),
                ("environment", settings.environment),
                ("owner", settings.owner),
            )
        ],
    )
