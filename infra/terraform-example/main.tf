# What another team's Terraform may build on an environment. It reads the names from SSM, so it knows no stack and no
# account: a queue gets the alarms, and a role of an application may query Gold in the workgroup for people.
# The parameters are in docs/reference/outputs.md.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0, < 7.0"
    }
  }
}

variable "environment" {
  description = "The environment that is read: dev, stg or prod."
  type        = string
}

variable "reader_role" {
  description = "The name of the role that may query Gold."
  type        = string
}

data "aws_ssm_parameters_by_path" "medallion" {
  path      = "/medallion/${var.environment}"
  recursive = true
}

data "aws_caller_identity" "here" {}

data "aws_region" "here" {}

data "aws_partition" "here" {}

locals {
  # "lake/bucket-name" => the bucket's name, and so on. Names and addresses are no secrets.
  medallion = {
    for index, name in data.aws_ssm_parameters_by_path.medallion.names :
    trimprefix(name, "/medallion/${var.environment}/") => nonsensitive(data.aws_ssm_parameters_by_path.medallion.values[index])
  }
  here = "${data.aws_region.here.name}:${data.aws_caller_identity.here.account_id}"
  glue = "arn:${data.aws_partition.here.partition}:glue:${local.here}"
  gold = local.medallion["lake/glue-database/gold"]
}

resource "aws_sqs_queue" "alarms" {
  name                    = "medallion-${var.environment}-alarms"
  sqs_managed_sse_enabled = true
}

data "aws_iam_policy_document" "alarms" {
  statement {
    actions   = ["sqs:SendMessage"]
    resources = [aws_sqs_queue.alarms.arn]

    principals {
      type        = "Service"
      identifiers = ["sns.amazonaws.com"]
    }

    condition {
      test     = "ArnEquals"
      variable = "aws:SourceArn"
      values   = [local.medallion["capture/alerts-topic-arn"]]
    }
  }
}

resource "aws_sqs_queue_policy" "alarms" {
  queue_url = aws_sqs_queue.alarms.id
  policy    = data.aws_iam_policy_document.alarms.json
}

resource "aws_sns_topic_subscription" "alarms" {
  topic_arn = local.medallion["capture/alerts-topic-arn"]
  protocol  = "sqs"
  endpoint  = aws_sqs_queue.alarms.arn
}

data "aws_iam_policy_document" "read_gold" {
  statement {
    sid = "Query"
    actions = [
      "athena:StartQueryExecution",
      "athena:GetQueryExecution",
      "athena:GetQueryResults",
      "athena:StopQueryExecution",
      "athena:GetWorkGroup",
    ]
    resources = [
      "arn:${data.aws_partition.here.partition}:athena:${local.here}:workgroup/${local.medallion["lake/workgroup-name"]}",
    ]
  }

  statement {
    sid     = "Catalog"
    actions = ["glue:GetDatabase", "glue:GetTable", "glue:GetTables"]
    resources = [
      "${local.glue}:catalog",
      "${local.glue}:database/${local.gold}",
      "${local.glue}:table/${local.gold}/*",
    ]
  }

  statement {
    sid       = "Data"
    actions   = ["s3:GetObject"]
    resources = ["${local.medallion["lake/bucket-arn"]}/warehouse/gold/*"]
  }

  statement {
    sid     = "Results"
    actions = ["s3:GetObject", "s3:PutObject"]
    resources = [
      "${local.medallion["lake/results-bucket-arn"]}/${local.medallion["lake/workgroup-name"]}/*",
    ]
  }

  statement {
    sid       = "Buckets"
    actions   = ["s3:GetBucketLocation", "s3:ListBucket"]
    resources = [local.medallion["lake/results-bucket-arn"]]
  }
}

resource "aws_iam_role_policy" "read_gold" {
  name   = "medallion-${var.environment}-read-gold"
  role   = var.reader_role
  policy = data.aws_iam_policy_document.read_gold.json
}

output "page_url" {
  description = "Dagster's page."
  value       = local.medallion["orchestrator/page-url"]
}
