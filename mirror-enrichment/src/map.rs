//! The map as a value.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::geneve_id::GeneveId;

/// Version of the format.
pub const VERSION: u32 = 1;

/// The highest virtual network id: 24 bits (RFC 7348, section 5).
pub const MAX_VNI: u32 = (1 << 24) - 1;

/// The sessions of all accounts and regions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Map {
    /// Version of the format: [`VERSION`].
    pub version: u32,
    /// Time at which it was made, as RFC 3339 says.
    #[serde(default)]
    pub generated: Option<String>,
    /// The owner whose sessions have a `rule`.
    #[serde(default)]
    pub owner: Option<String>,
    /// The sessions.
    pub sessions: Vec<Session>,
    /// VPCs whose networks are known. The key is optional.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vpcs: Vec<Vpc>,
}

/// A session, with the interface and instance that it mirrors. A key that is missing is the same as one that is null or
/// empty, except those of which a session always has a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Virtual network id in the VXLAN header of its packets, up to [`MAX_VNI`].
    pub vni: u32,
    /// Possible endpoint ids in the GENEVE option of its packets. Empty if the endpoint is not known; then the virtual network
    /// id and the source of the VXLAN packets identify the session.
    #[serde(default)]
    pub endpoint_ids: BTreeSet<GeneveId>,
    /// The endpoint, `vpce-…`.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// The account, 12 digits.
    pub account: String,
    /// The region.
    pub region: String,
    /// The session, `tms-…`.
    pub session: String,
    /// The session number.
    pub session_number: u16,
    /// Bytes of each packet that are mirrored; [`None`] for whole packets.
    #[serde(default)]
    pub packet_length: Option<u16>,
    /// The rule that created it, for sessions of the map's owner.
    #[serde(default)]
    pub rule: Option<String>,
    /// The interface, `eni-…`.
    pub interface: String,
    /// Its addresses; the first one is the source of the VXLAN packets.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
    /// Its VPC.
    #[serde(default)]
    pub vpc: Option<String>,
    /// Its subnet.
    #[serde(default)]
    pub subnet: Option<String>,
    /// Its zone.
    #[serde(default)]
    pub zone: Option<String>,
    /// Its instance.
    #[serde(default)]
    pub instance: Option<String>,
    /// The instance's type.
    #[serde(default)]
    pub instance_type: Option<String>,
    /// Tags of the instance and the interface; the interface's take precedence.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// A VPC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vpc {
    /// Its id, `vpc-…`.
    pub vpc: String,
    /// All of its CIDR blocks, of both families.
    pub networks: Vec<IpNet>,
}
