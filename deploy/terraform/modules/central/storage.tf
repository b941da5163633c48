# One key for all that this module stores and sends.
resource "aws_kms_key" "this" {
  description             = "${var.name}: records, queues and alarms"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  tags                    = merge(var.tags, { Name = var.name })
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        # Without it nobody could change this policy. The account's own IAM policies decide who may use the key.
        Sid       = "Account"
        Effect    = "Allow"
        Principal = { AWS = "arn:${local.partition}:iam::${local.account}:root" }
        Action    = "kms:*"
        Resource  = "*"
      },
      {
        Sid       = "FlowLogs"
        Effect    = "Allow"
        Principal = { Service = "delivery.logs.amazonaws.com" }
        Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource  = "*"
        Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
      },
      {
        Sid       = "Alarms"
        Effect    = "Allow"
        Principal = { Service = "cloudwatch.amazonaws.com" }
        Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource  = "*"
        Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
      },
    ]
  })
}

resource "aws_kms_alias" "this" {
  name          = "alias/${var.name}"
  target_key_id = aws_kms_key.this.key_id
}

# records/: what mirror-ship writes. fleet/: the package, and the enrichment map of mirror-sessions. flow-logs/: of a created
# VPC.
resource "aws_s3_bucket" "this" {
  #checkov:skip=CKV2_AWS_62:Nothing waits for events of this bucket; readers of records set up their own.
  #checkov:skip=CKV_AWS_144:Records of one region stay there; a copy in another would double their cost, and is the owner's choice.
  bucket_prefix = "${var.name}-"
  tags          = var.tags
}

resource "aws_s3_bucket_public_access_block" "this" {
  bucket                  = aws_s3_bucket.this.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "this" {
  bucket = aws_s3_bucket.this.id
  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_versioning" "this" {
  bucket = aws_s3_bucket.this.id
  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  bucket = aws_s3_bucket.this.id
  rule {
    # A bucket key saves a call of KMS for each object.
    bucket_key_enabled = true
    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = aws_kms_key.this.arn
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    id     = "records"
    status = "Enabled"
    filter {
      prefix = "records/"
    }
    dynamic "expiration" {
      for_each = var.retention_days[*]
      content {
        days = expiration.value
      }
    }
    noncurrent_version_expiration {
      noncurrent_days = 7
    }
  }
  rule {
    id     = "flow-logs"
    status = "Enabled"
    filter {
      prefix = "flow-logs/"
    }
    expiration {
      days = 90
    }
    noncurrent_version_expiration {
      noncurrent_days = 7
    }
  }
  rule {
    id     = "unfinished"
    status = "Enabled"
    filter {}
    abort_incomplete_multipart_upload {
      days_after_initiation = 1
    }
  }
  # The map is written every few minutes.
  rule {
    id     = "maps"
    status = "Enabled"
    filter {
      prefix = "fleet/map.json"
    }
    noncurrent_version_expiration {
      noncurrent_days = 1
    }
  }
  depends_on = [aws_s3_bucket_versioning.this]
}

resource "aws_s3_bucket_policy" "this" {
  bucket = aws_s3_bucket.this.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "EncryptedConnectionsOnly"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:*"
        Resource  = [aws_s3_bucket.this.arn, "${aws_s3_bucket.this.arn}/*"]
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
      {
        Sid       = "FlowLogs"
        Effect    = "Allow"
        Principal = { Service = "delivery.logs.amazonaws.com" }
        Action    = "s3:PutObject"
        Resource  = "${aws_s3_bucket.this.arn}/flow-logs/*"
        Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
      },
      {
        Sid       = "FlowLogsCheck"
        Effect    = "Allow"
        Principal = { Service = "delivery.logs.amazonaws.com" }
        Action    = ["s3:GetBucketAcl", "s3:ListBucket"]
        Resource  = aws_s3_bucket.this.arn
        Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
      },
    ]
  })
  depends_on = [aws_s3_bucket_public_access_block.this]
}

resource "aws_s3_bucket_logging" "this" {
  count         = var.log_bucket == null ? 0 : 1
  bucket        = aws_s3_bucket.this.id
  target_bucket = var.log_bucket
  target_prefix = "${var.name}/"
}

locals {
  # The name changes with the contents, so that a new package makes new appliances.
  package_key = var.package_file == null ? null : "fleet/packages/${filesha256(var.package_file)}/${basename(var.package_file)}"
}

resource "aws_s3_object" "package" {
  count  = var.package_file == null ? 0 : 1
  bucket = aws_s3_bucket.this.id
  key    = local.package_key
  source = var.package_file
  tags   = var.tags
  # The bucket's default encryption must be in place first.
  depends_on = [aws_s3_bucket_server_side_encryption_configuration.this, aws_s3_bucket_policy.this]
}

# Security Lake

resource "aws_iam_role" "crawler" {
  count = var.security_lake == null ? 0 : 1
  # Security Lake passes roles of this prefix only.
  name = "AmazonSecurityLakeCustomDataGlueCrawler-${var.name}"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "glue.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = local.account } }
    }]
  })
  tags = var.tags
}

resource "aws_iam_role_policy_attachment" "crawler" {
  count      = var.security_lake == null ? 0 : 1
  role       = aws_iam_role.crawler[0].name
  policy_arn = "arn:${local.partition}:iam::aws:policy/service-role/AWSGlueServiceRole"
}

resource "aws_iam_role_policy" "crawler" {
  count = var.security_lake == null ? 0 : 1
  name  = "source"
  role  = aws_iam_role.crawler[0].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = ["s3:GetObject", "s3:PutObject"]
      Resource = "${var.security_lake.bucket_arn}/ext/${var.name}/*"
    }]
  })
}

resource "aws_securitylake_custom_log_source" "this" {
  count          = var.security_lake == null ? 0 : 1
  source_name    = var.name
  source_version = "1.0"
  # One class for a source: flows. DNS and HTTP would be sources of their own.
  event_classes = ["NETWORK_ACTIVITY"]

  configuration {
    crawler_configuration {
      role_arn = aws_iam_role.crawler[0].arn
    }
    provider_identity {
      external_id = var.security_lake.external_id
      principal   = var.security_lake.principal
    }
  }
  depends_on = [aws_iam_role_policy.crawler, aws_iam_role_policy_attachment.crawler]
}
