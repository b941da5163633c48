resource "aws_lb" "this" {
  name                             = var.name
  load_balancer_type               = "gateway"
  subnets                          = values(local.subnet_ids)
  enable_cross_zone_load_balancing = var.cross_zone
  enable_deletion_protection       = var.deletion_protection
  tags                             = var.tags
}

resource "aws_lb_target_group" "this" {
  name                 = var.name
  protocol             = "GENEVE"
  port                 = 6081
  target_type          = "instance"
  vpc_id               = local.vpc_id
  deregistration_delay = var.deregistration_delay
  tags                 = var.tags

  # HTTP tells more than TCP: the daemon answers 503 when it cannot capture, although it runs.
  health_check {
    protocol            = "HTTP"
    port                = var.admin_port
    path                = "/health"
    matcher             = "200-399"
    interval            = var.health_check.interval
    timeout             = var.health_check.timeout
    healthy_threshold   = var.health_check.healthy
    unhealthy_threshold = var.health_check.unhealthy
  }

  dynamic "stickiness" {
    for_each = var.stickiness[*]
    content {
      enabled = true
      type    = stickiness.value
    }
  }

  target_failover {
    on_deregistration = var.failover.on_deregistration
    on_unhealthy      = var.failover.on_unhealthy
  }
}

resource "aws_lb_listener" "this" {
  #checkov:skip=CKV_AWS_2:A Gateway Load Balancer's listener takes every packet; it has no protocol.
  load_balancer_arn        = aws_lb.this.arn
  tcp_idle_timeout_seconds = var.tcp_idle_timeout
  tags                     = var.tags

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this.arn
  }
}

resource "aws_vpc_endpoint_service" "this" {
  #checkov:skip=CKV_AWS_123:Only the client accounts may connect; acceptance_required asks for more.
  acceptance_required        = var.acceptance_required
  gateway_load_balancer_arns = [aws_lb.this.arn]
  tags                       = merge(var.tags, { Name = var.name })
}

resource "aws_vpc_endpoint_service_allowed_principal" "client" {
  for_each                = var.client_accounts
  vpc_endpoint_service_id = aws_vpc_endpoint_service.this.id
  principal_arn           = "arn:${local.partition}:iam::${each.value}:root"
}
