//! The numbers of DNS, with the names that IANA's registry "Domain Name System (DNS) Parameters" gives them.

use std::fmt;

/// Defines a number of DNS with the names of some of its values.
macro_rules! numbers {
    ($(#[$attribute:meta])* $number:ident($width:ty), $other:literal: $($constant:ident $value:literal $name:literal,)+) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $number(pub $width);

        impl $number {
            $(#[doc = concat!($name, ".")] pub const $constant: Self = Self($value);)+

            /// The registered name, where this crate knows one.
            pub const fn name(self) -> Option<&'static str> {
                Some(match self.0 {
                    $($value => $name,)+
                    _ => return None,
                })
            }
        }

        impl fmt::Display for $number {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.name() {
                    Some(name) => formatter.write_str(name),
                    None => write!(formatter, concat!($other, "{}"), self.0),
                }
            }
        }
    };
}

numbers! {
    /// The type of a record or question; one without a name is shown as RFC 3597, section 5, says: `TYPE65280`.
    RecordType(u16), "TYPE":
    A 1 "A",
    NS 2 "NS",
    CNAME 5 "CNAME",
    SOA 6 "SOA",
    PTR 12 "PTR",
    HINFO 13 "HINFO",
    MX 15 "MX",
    TXT 16 "TXT",
    RP 17 "RP",
    AFSDB 18 "AFSDB",
    SIG 24 "SIG",
    KEY 25 "KEY",
    AAAA 28 "AAAA",
    LOC 29 "LOC",
    SRV 33 "SRV",
    NAPTR 35 "NAPTR",
    KX 36 "KX",
    CERT 37 "CERT",
    DNAME 39 "DNAME",
    OPT 41 "OPT",
    APL 42 "APL",
    DS 43 "DS",
    SSHFP 44 "SSHFP",
    IPSECKEY 45 "IPSECKEY",
    RRSIG 46 "RRSIG",
    NSEC 47 "NSEC",
    DNSKEY 48 "DNSKEY",
    DHCID 49 "DHCID",
    NSEC3 50 "NSEC3",
    NSEC3PARAM 51 "NSEC3PARAM",
    TLSA 52 "TLSA",
    SMIMEA 53 "SMIMEA",
    HIP 55 "HIP",
    CDS 59 "CDS",
    CDNSKEY 60 "CDNSKEY",
    OPENPGPKEY 61 "OPENPGPKEY",
    CSYNC 62 "CSYNC",
    ZONEMD 63 "ZONEMD",
    SVCB 64 "SVCB",
    HTTPS 65 "HTTPS",
    SPF 99 "SPF",
    EUI48 108 "EUI48",
    EUI64 109 "EUI64",
    TKEY 249 "TKEY",
    TSIG 250 "TSIG",
    IXFR 251 "IXFR",
    AXFR 252 "AXFR",
    ANY 255 "ANY",
    URI 256 "URI",
    CAA 257 "CAA",
}

numbers! {
    /// The class of a record or question.
    Class(u16), "CLASS":
    IN 1 "IN",
    CH 3 "CH",
    HS 4 "HS",
    NONE 254 "NONE",
    ANY 255 "ANY",
}

numbers! {
    /// The kind of a query.
    Opcode(u8), "OPCODE":
    QUERY 0 "QUERY",
    IQUERY 1 "IQUERY",
    STATUS 2 "STATUS",
    NOTIFY 4 "NOTIFY",
    UPDATE 5 "UPDATE",
    DSO 6 "DSO",
}

numbers! {
    /// The response code: 12 bits with EDNS, 4 without.
    ResponseCode(u16), "RCODE":
    NOERROR 0 "NOERROR",
    FORMERR 1 "FORMERR",
    SERVFAIL 2 "SERVFAIL",
    NXDOMAIN 3 "NXDOMAIN",
    NOTIMP 4 "NOTIMP",
    REFUSED 5 "REFUSED",
    YXDOMAIN 6 "YXDOMAIN",
    YXRRSET 7 "YXRRSET",
    NXRRSET 8 "NXRRSET",
    NOTAUTH 9 "NOTAUTH",
    NOTZONE 10 "NOTZONE",
    DSOTYPENI 11 "DSOTYPENI",
    BADVERS 16 "BADVERS",
    BADCOOKIE 23 "BADCOOKIE",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_numbers_keep_their_number() {
        assert_eq!(RecordType::AAAA.to_string(), "AAAA");
        assert_eq!(RecordType(65280).to_string(), "TYPE65280");
        assert_eq!(Class(2).to_string(), "CLASS2");
        assert_eq!(ResponseCode(4095).to_string(), "RCODE4095");
        assert_eq!(Opcode(3).to_string(), "OPCODE3");
    }
}
