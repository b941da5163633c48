# As a container on Fargate: the manager, and beside it a process that publishes its map.

locals {
  container_logs = local.container == 0 ? null : {
    logDriver = "awslogs"
    options = {
      awslogs-group         = aws_cloudwatch_log_group.manager[0].name
      awslogs-region        = local.region
      awslogs-stream-prefix = "mirror-sessions"
    }
  }
  container_environment = merge(local.environment, {
    MIRROR_SESSIONS_LEARNT = "/run/mirror-sessions/instance-types.json"
    MIRROR_SESSIONS_MAP    = "/run/mirror-sessions/map.json"
    MIRROR_SESSIONS_POLICY = "/run/mirror-sessions/policy.toml"
    # The policy itself, which the first command writes where the program reads it.
    POLICY = base64gzip(var.policy)
  })
  publish_loop = <<-EOT
    last=
    while sleep 5; do
      now=$(stat -c %y /run/mirror-sessions/map.json 2>/dev/null) || continue
      [ "$now" != "$last" ] || continue
      aws s3 cp --only-show-errors /run/mirror-sessions/map.json "s3://$BUCKET/fleet/map.json" && last=$now
    done
  EOT
}

resource "aws_iam_role" "execution" {
  count = local.container
  name  = "${local.name}-execution"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { Service = "ecs-tasks.amazonaws.com" }, Action = "sts:AssumeRole" }]
  })
  tags = var.tags
}

resource "aws_iam_role_policy_attachment" "execution" {
  count      = local.container
  role       = aws_iam_role.execution[0].name
  policy_arn = "arn:${local.partition}:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
}

resource "aws_ecs_cluster" "this" {
  count = local.container
  name  = local.name
  tags  = var.tags
  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_ecs_task_definition" "manager" {
  count                    = local.container
  family                   = local.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = "256"
  memory                   = "512"
  execution_role_arn       = aws_iam_role.execution[0].arn
  task_role_arn            = aws_iam_role.manager.arn
  tags                     = var.tags

  # The image gives this folder to the user as which the program runs.
  volume {
    name = "state"
  }

  container_definitions = jsonencode([
    {
      name                   = "mirror-sessions"
      image                  = var.container_image
      essential              = true
      readonlyRootFilesystem = true
      entryPoint             = ["/bin/sh", "-euc"]
      command                = ["printf %s \"$POLICY\" | base64 -d | gunzip > \"$MIRROR_SESSIONS_POLICY\"; exec /usr/bin/mirror-sessions watch"]
      environment            = [for name, value in local.container_environment : { name = name, value = tostring(value) }]
      mountPoints            = [{ sourceVolume = "state", containerPath = "/run/mirror-sessions", readOnly = false }]
      stopTimeout            = 60
      logConfiguration       = local.container_logs
    },
    {
      name                   = "publisher"
      image                  = var.publisher_image
      essential              = true
      readonlyRootFilesystem = true
      entryPoint             = ["/bin/sh", "-c"]
      command                = [local.publish_loop]
      environment            = [{ name = "BUCKET", value = try(var.bucket.name, "") }, { name = "AWS_REGION", value = local.region }]
      mountPoints            = [{ sourceVolume = "state", containerPath = "/run/mirror-sessions", readOnly = true }]
      logConfiguration       = local.container_logs
    },
  ])
}

resource "aws_ecs_service" "manager" {
  count           = local.container
  name            = local.name
  cluster         = aws_ecs_cluster.this[0].id
  task_definition = aws_ecs_task_definition.manager[0].arn
  launch_type     = "FARGATE"
  desired_count   = 1
  # One manager at a time.
  deployment_minimum_healthy_percent = 0
  deployment_maximum_percent         = 100
  propagate_tags                     = "SERVICE"
  tags                               = var.tags

  network_configuration {
    subnets          = var.subnet_ids
    security_groups  = [aws_security_group.manager[0].id]
    assign_public_ip = false
  }
  depends_on = [aws_iam_role_policy.manage, aws_iam_role_policy.mirror, aws_iam_role_policy.publish]
}
