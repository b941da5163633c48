variable "owner" {
  description = "Owner of the policy, the same as in its text: part of the names, and value of the ownership tag."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,18}[a-z0-9]$", var.owner))
    error_message = "owner must be 2 to 20 lower-case letters, digits and hyphens: it is part of the roles' names."
  }
}

variable "tags" {
  description = "Tags of all resources."
  type        = map(string)
  default     = {}
}

variable "policy" {
  description = "Text of policy.toml; docs/sessions.md explains it."
  type        = string

  validation {
    condition     = can(regex("(?m)^owner = \"${var.owner}\"", var.policy))
    error_message = "The policy has another owner than the module, so the permissions would not fit its tags."
  }
}

variable "client_roles" {
  description = "Roles of mirror-sessions in the client accounts: account => role ARN. They may be created later."
  type        = map(string)

  validation {
    condition     = alltrue([for account, role in var.client_roles : can(regex("^arn:[a-z-]+:iam::${account}:role/.+$", role))])
    error_message = "client_roles: each role must be in the account of its key."
  }
}

variable "run_as" {
  description = "Form of the manager: instance (on events and at intervals, publishes the enrichment map), container (the same, on Fargate) or lambda (on events and on a schedule, without the map)."
  type        = string
  default     = "instance"

  validation {
    condition     = contains(["instance", "container", "lambda"], var.run_as)
    error_message = "run_as must be instance, container or lambda."
  }
}

variable "interval" {
  description = "Seconds between two full reconciles. Events make it quick, this makes it right."
  type        = number
  default     = 300

  validation {
    condition     = var.interval >= 60 && var.interval <= 86400
    error_message = "interval must be 60 to 86400 s."
  }
}

variable "bucket" {
  description = "The central module's bucket, for the enrichment map and the program. null: no map."
  type        = object({ name = string, arn = string })
  default     = null

  validation {
    condition     = var.run_as != "lambda" || var.bucket == null
    error_message = "A Lambda does not publish the enrichment map, so records would have no account, instance and tags: run the manager as an instance or container, or set bucket = null."
  }
  validation {
    condition     = var.run_as == "lambda" || var.bucket != null
    error_message = "bucket is needed: an instance fetches its program there, and instance and container publish the enrichment map there."
  }
}

variable "key_arn" {
  description = "Key of the bucket."
  type        = string
  default     = null
}

variable "subnet_ids" {
  description = "Subnets of the instance or container. They need a way to the APIs of EC2, STS, SQS and S3, in every region of the policy."
  type        = list(string)
  default     = []

  validation {
    condition     = var.run_as == "lambda" || length(var.subnet_ids) > 0
    error_message = "subnet_ids are needed for an instance or container."
  }
}

variable "vpc_id" {
  description = "VPC of the subnets."
  type        = string
  default     = null
}

variable "program_file" {
  description = "The program: for an instance the file mirror-sessions, for a lambda the zip archive with bootstrap, mirror-sessions and policy.toml."
  type        = string
  default     = null

  validation {
    condition     = var.run_as == "container" || var.program_file != null
    error_message = "program_file is needed for an instance or a lambda."
  }
}

variable "container_image" {
  description = "Image made of deploy/mirror-sessions.Dockerfile, by digest."
  type        = string
  default     = null

  validation {
    condition     = var.run_as != "container" || var.container_image != null
    error_message = "container_image is needed for a container."
  }
}

variable "publisher_image" {
  description = "Image with the AWS CLI, which publishes the enrichment map of a container."
  type        = string
  default     = "public.ecr.aws/aws-cli/aws-cli:2.31.0"
}

variable "image" {
  description = "Machine image of an instance: an id, or the Systems Manager parameter that has it. It needs cloud-init, systemd and curl 8."
  type        = string
  default     = "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id"
}

variable "instance_type" {
  description = "Type of an instance. The program needs some 100 MB."
  type        = string
  default     = "t3.micro"
}

variable "alarm_topic_arns" {
  description = "SNS topics that are told of alarms."
  type        = list(string)
  default     = []
}
