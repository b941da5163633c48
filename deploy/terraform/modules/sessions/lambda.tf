# As a Lambda: once for each batch of events, and on a schedule for everything.

resource "aws_lambda_function" "manager" {
  count            = local.lambda
  function_name    = local.name
  role             = aws_iam_role.manager.arn
  runtime          = "provided.al2023"
  handler          = "bootstrap"
  filename         = var.program_file
  source_code_hash = filebase64sha256(var.program_file)
  memory_size      = 512
  # Below the queue's visibility timeout, so that a batch is not processed twice at once.
  timeout = 110
  # A full reconcile and a batch of events beside it; more would only meet EC2's rate limits.
  reserved_concurrent_executions = 3
  tags                           = var.tags

  depends_on = [aws_iam_role_policy.manage, aws_iam_role_policy.mirror, aws_cloudwatch_log_group.manager]
}

resource "aws_lambda_event_source_mapping" "events" {
  count            = local.lambda
  event_source_arn = aws_sqs_queue.events.arn
  function_name    = aws_lambda_function.manager[0].arn
  batch_size       = 10

  scaling_config {
    maximum_concurrency = 2
  }
}

resource "aws_cloudwatch_event_rule" "schedule" {
  count               = local.lambda
  name                = "${local.name}-schedule"
  description         = "Reconciles everything"
  schedule_expression = var.interval < 120 ? "rate(1 minute)" : "rate(${floor(var.interval / 60)} minutes)"
  tags                = var.tags
}

resource "aws_cloudwatch_event_target" "schedule" {
  count     = local.lambda
  rule      = aws_cloudwatch_event_rule.schedule[0].name
  target_id = "manager"
  arn       = aws_lambda_function.manager[0].arn
}

resource "aws_lambda_permission" "schedule" {
  count         = local.lambda
  statement_id  = "schedule"
  action        = "lambda:InvokeFunction"
  function_name = aws_lambda_function.manager[0].function_name
  principal     = "events.amazonaws.com"
  source_arn    = aws_cloudwatch_event_rule.schedule[0].arn
}
