variable "account" {
  description = "This account."
  type        = string
}

variable "hub_file" {
  description = "File with the hub's output."
  type        = string
  default     = "../hub.json"
}

variable "external_id" {
  description = "External id of this account, as in the hub's variable clients."
  type        = string
  sensitive   = true
}

variable "name" {
  description = "Name of the installation, the same as the hub's."
  type        = string
  default     = "inspection"
}

variable "vpc_cidr" {
  description = "Network of this account's VPC. It may overlap with others."
  type        = string
  default     = "10.0.0.0/16"
}

variable "tags" {
  description = "Tags of all resources."
  type        = map(string)
  default     = {}
}
