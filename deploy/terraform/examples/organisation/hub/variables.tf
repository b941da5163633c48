variable "account" {
  description = "Central account."
  type        = string
}

variable "region" {
  description = "Region of everything."
  type        = string
}

variable "name" {
  description = "Name of the installation, and owner of its sessions."
  type        = string
  default     = "inspection"
}

variable "vpc_cidr" {
  description = "Network of the central VPC. It may overlap with those of the clients."
  type        = string
  default     = "10.255.0.0/20"
}

variable "zones" {
  description = "Availability zones."
  type        = list(string)
}

variable "clients" {
  description = "Client accounts: account => external id, a secret of at least 8 characters that both sides know."
  type        = map(string)
}

variable "clients_folder" {
  description = "Folder of the clients' outputs, ACCOUNT.json."
  type        = string
  default     = "clients"
}

variable "package_file" {
  description = "Package of mirror-capture."
  type        = string
}

variable "program_file" {
  description = "The program mirror-sessions."
  type        = string
}

variable "instance_type" {
  description = "Instance type of the appliances."
  type        = string
  default     = "c6in.2xlarge"
}

variable "capture" {
  description = "Configuration of the daemon, as that of the central module."
  type        = any
  default     = {}
}

variable "mirroring" {
  description = "Mirror the clients' interfaces. With false, the manager deletes all sessions: do so before tearing down."
  type        = bool
  default     = true
}

variable "deletion_protection" {
  description = "Refuse to delete the load balancer."
  type        = bool
  default     = true
}

variable "tags" {
  description = "Tags of all resources."
  type        = map(string)
  default     = {}
}
