data "aws_region" "this" {}

data "aws_caller_identity" "this" {}

data "aws_partition" "this" {}

locals {
  account   = data.aws_caller_identity.this.account_id
  region    = data.aws_region.this.region
  partition = data.aws_partition.this.partition
  name      = "mirror-sessions-${var.owner}"
  instance  = var.run_as == "instance" ? 1 : 0
  container = var.run_as == "container" ? 1 : 0
  lambda    = var.run_as == "lambda" ? 1 : 0
  # The process that publishes the map works with the manager's role.
  publishes  = var.run_as != "lambda"
  principals = { instance = "ec2.amazonaws.com", container = "ecs-tasks.amazonaws.com", lambda = "lambda.amazonaws.com" }
}

module "permissions" {
  source    = "../permissions"
  owner     = var.owner
  account   = local.account
  partition = local.partition
}

# Events: from this account and the clients, through the default bus, into a queue.

resource "aws_sqs_queue" "dead_letters" {
  name                      = "${local.name}-dead-letters"
  message_retention_seconds = 1209600
  sqs_managed_sse_enabled   = true
  tags                      = var.tags
}

resource "aws_sqs_queue" "events" {
  name                       = local.name
  visibility_timeout_seconds = 120
  sqs_managed_sse_enabled    = true
  tags                       = var.tags
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letters.arn
    maxReceiveCount     = 10
  })
}

resource "aws_sqs_queue_policy" "events" {
  queue_url = aws_sqs_queue.events.url
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "events.amazonaws.com" }
      Action    = "sqs:SendMessage"
      Resource  = aws_sqs_queue.events.arn
      Condition = { ArnLike = { "aws:SourceArn" = "arn:${local.partition}:events:${local.region}:${local.account}:rule/${local.name}-*" } }
    }]
  })
}

resource "aws_cloudwatch_event_rule" "events" {
  for_each      = module.permissions.event_patterns
  name          = "${local.name}-${each.key}"
  description   = "Tells mirror-sessions of changes"
  event_pattern = each.value
  tags          = var.tags
}

resource "aws_cloudwatch_event_target" "events" {
  for_each  = aws_cloudwatch_event_rule.events
  rule      = each.value.name
  target_id = "queue"
  arn       = aws_sqs_queue.events.arn
}

resource "aws_cloudwatch_event_permission" "client" {
  for_each     = var.client_roles
  principal    = each.key
  statement_id = "${local.name}-${each.key}"
  action       = "events:PutEvents"
}

# The manager's role

resource "aws_iam_role" "manager" {
  name = "${local.name}-manager"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { Service = local.principals[var.run_as] }, Action = "sts:AssumeRole" }]
  })
  tags = var.tags
}

locals {
  manage = concat(
    [
      {
        Sid    = "Queue"
        Effect = "Allow"
        # GetQueueAttributes is what Lambda itself asks; the program does not.
        Action   = concat(["sqs:DeleteMessage", "sqs:ReceiveMessage"], local.lambda == 1 ? ["sqs:GetQueueAttributes"] : [])
        Resource = aws_sqs_queue.events.arn
      },
    ],
    # Lambda leaves it to the queue to set messages aside.
    local.lambda == 1 ? [] : [{ Sid = "SetAside", Effect = "Allow", Action = ["sqs:SendMessage"], Resource = aws_sqs_queue.dead_letters.arn }],
    length(var.client_roles) == 0 ? [] : [{ Sid = "Members", Effect = "Allow", Action = ["sts:AssumeRole"], Resource = values(var.client_roles) }],
    local.lambda == 0 ? [] : [{ Sid = "Log", Effect = "Allow", Action = ["logs:CreateLogStream", "logs:PutLogEvents"], Resource = "${aws_cloudwatch_log_group.manager[0].arn}:*" }],
  )
  publish = concat(
    var.bucket == null || !local.publishes ? [] : [
      { Sid = "Publish", Effect = "Allow", Action = ["s3:PutObject"], Resource = ["${var.bucket.arn}/fleet/map.json"] },
    ],
    local.instance == 0 ? [] : [
      { Sid = "Fetch", Effect = "Allow", Action = ["s3:GetObject"], Resource = ["${var.bucket.arn}/fleet/programs/*"] },
    ],
    var.key_arn == null || !local.publishes ? [] : [
      { Sid = "Encrypt", Effect = "Allow", Action = ["kms:Decrypt", "kms:GenerateDataKey"], Resource = [var.key_arn] },
    ],
  )
}

resource "aws_iam_role_policy" "manage" {
  name   = "manage"
  role   = aws_iam_role.manager.id
  policy = jsonencode({ Version = "2012-10-17", Statement = local.manage })
}

resource "aws_iam_role_policy" "mirror" {
  name   = "mirror"
  role   = aws_iam_role.manager.id
  policy = module.permissions.json
}

resource "aws_iam_role_policy" "publish" {
  count  = local.publishes ? 1 : 0
  name   = "publish"
  role   = aws_iam_role.manager.id
  policy = jsonencode({ Version = "2012-10-17", Statement = local.publish })
}

# What is not done, and what came to nothing

resource "aws_cloudwatch_metric_alarm" "late" {
  alarm_name          = "${local.name}-late"
  alarm_description   = "Events wait in the queue: mirror-sessions does not run, or cannot keep up. New instances are not mirrored meanwhile."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateAgeOfOldestMessage"
  dimensions          = { QueueName = aws_sqs_queue.events.name }
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 5
  threshold           = 2 * var.interval
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
  tags                = var.tags
}

resource "aws_cloudwatch_metric_alarm" "dead_letters" {
  alarm_name          = "${local.name}-dead-letters"
  alarm_description   = "Events were set aside because they could not be processed."
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = aws_sqs_queue.dead_letters.name }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 1
  threshold           = 0
  comparison_operator = "GreaterThanThreshold"
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_topic_arns
  ok_actions          = var.alarm_topic_arns
  tags                = var.tags
}

resource "aws_security_group" "manager" {
  count       = local.publishes ? 1 : 0
  name        = local.name
  description = "mirror-sessions: out to the AWS APIs, nothing in"
  vpc_id      = var.vpc_id
  tags        = merge(var.tags, { Name = local.name })
}

resource "aws_vpc_security_group_egress_rule" "manager" {
  count             = local.publishes ? 1 : 0
  security_group_id = aws_security_group.manager[0].id
  description       = "AWS APIs"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  tags              = var.tags
}

resource "aws_cloudwatch_log_group" "manager" {
  count             = 1 - local.instance
  name              = local.lambda == 1 ? "/aws/lambda/${local.name}" : "/ecs/${local.name}"
  retention_in_days = 365
  tags              = var.tags
}
