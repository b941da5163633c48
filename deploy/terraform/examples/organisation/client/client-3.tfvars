account     = "333333333333"
external_id = "change-this-secret-of-client-3"
# The same network as the other client's: addresses may overlap.
vpc_cidr = "10.0.0.0/16"
