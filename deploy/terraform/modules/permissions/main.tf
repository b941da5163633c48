# The permissions of mirror-sessions in one account, as JSON. `mirror-sessions init` writes the same into its CloudFormation
# templates; a test compares the two with each other and with the calls of the program.

variable "owner" {
  description = "The policy's owner, which is the value of the ownership tag."
  type        = string
}

variable "account" {
  description = "Account of the role."
  type        = string
}

variable "partition" {
  description = "Partition of the account, such as aws."
  type        = string
}

locals {
  mirror = { for kind in ["filter", "filter-rule", "session", "target"] : kind => "arn:${var.partition}:ec2:*:${var.account}:traffic-mirror-${kind}/*" }
  owned  = { StringEquals = { "aws:ResourceTag/mirror-sessions:owner" = var.owner } }
}

output "json" {
  description = "Policy document. Changes are allowed to resources with the ownership tag only."
  value = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid    = "Look"
        Effect = "Allow"
        Action = [
          "ec2:DescribeAvailabilityZones",
          "ec2:DescribeInstances",
          "ec2:DescribeNetworkInterfaces",
          "ec2:DescribeTrafficMirrorFilters",
          "ec2:DescribeTrafficMirrorSessions",
          "ec2:DescribeTrafficMirrorTargets",
          "ec2:DescribeVpcEndpoints",
        ]
        Resource = "*"
      },
      {
        Sid    = "Make"
        Effect = "Allow"
        Action = [
          "ec2:CreateTrafficMirrorFilter",
          "ec2:CreateTrafficMirrorFilterRule",
          "ec2:CreateTrafficMirrorSession",
          "ec2:CreateTrafficMirrorTarget",
        ]
        Resource = "*"
      },
      {
        Sid    = "Change"
        Effect = "Allow"
        Action = [
          "ec2:DeleteTrafficMirrorFilter",
          "ec2:DeleteTrafficMirrorFilterRule",
          "ec2:DeleteTrafficMirrorSession",
          "ec2:DeleteTrafficMirrorTarget",
          "ec2:ModifyTrafficMirrorFilterNetworkServices",
          "ec2:ModifyTrafficMirrorFilterRule",
          "ec2:ModifyTrafficMirrorSession",
        ]
        Resource  = "*"
        Condition = local.owned
      },
      {
        # A rule has no tags; its filter, which the calls above check, has.
        Sid      = "ChangeRules"
        Effect   = "Allow"
        Action   = ["ec2:DeleteTrafficMirrorFilterRule", "ec2:ModifyTrafficMirrorFilterRule"]
        Resource = local.mirror["filter-rule"]
      },
      {
        Sid       = "TagAsMade"
        Effect    = "Allow"
        Action    = "ec2:CreateTags"
        Resource  = values(local.mirror)
        Condition = { StringLike = { "ec2:CreateAction" = "CreateTrafficMirror*" } }
      },
      {
        Sid       = "Tag"
        Effect    = "Allow"
        Action    = ["ec2:CreateTags", "ec2:DeleteTags"]
        Resource  = local.mirror["session"]
        Condition = local.owned
      },
    ]
  })
}
