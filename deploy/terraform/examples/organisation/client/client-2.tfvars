account     = "222222222222"
external_id = "change-this-secret-of-client-2"
vpc_cidr    = "10.0.0.0/16"
