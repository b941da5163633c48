//! Looks at what is there: everything in a place, or what an event was about and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::{Api, ApiError, Only, texts};
use crate::connection::Connection;
use crate::desired::description;
use crate::id::{InstanceId, InterfaceId};
use crate::observed::{Interface, Observed, Session};
use crate::vni;

/// What to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything.
    Everything,
    /// What an event was about.
    Touched(Touched),
}

/// Instances and interfaces that an event was about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Instances, with all their interfaces.
    pub instances: BTreeSet<InstanceId>,
    /// Interfaces, with the instances that they are attached to.
    pub interfaces: BTreeSet<InterfaceId>,
}

impl Touched {
    /// Adds what another event was about.
    pub fn merge(&mut self, other: Self) {
        self.instances.extend(other.instances);
        self.interfaces.extend(other.interfaces);
    }
}

/// Looks at the place that the connection leads to. `owner` is whose sessions an event may be about.
///
/// # Errors
///
/// The first call that fails for good: half an observation would have what is not seen deleted.
pub async fn observe<A: Api>(
    connection: &Connection<A>,
    owner: &str,
    scope: &Scope,
) -> Result<Observed, ApiError> {
    let (mut observed, filters, targets, zones) = futures::try_join!(
        async {
            match scope {
                Scope::Everything => everything(connection).await,
                Scope::Touched(touched) => self::touched(connection, owner, touched).await,
            }
        },
        connection.all("DescribeTrafficMirrorFilters", |page| connection.api.filters(None, page)),
        connection.all("DescribeTrafficMirrorTargets", |page| connection.api.targets(None, page)),
        connection.pace.call(crate::pace::Kind::Read, "DescribeAvailabilityZones", || connection.api.zones()),
    )?;
    observed.filters = filters.into_iter().map(|filter| (filter.id.clone(), filter)).collect();
    observed.targets = targets.into_iter().map(|target| (target.id.clone(), target)).collect();
    observed.zone_ids = zones.into_iter().collect();
    Ok(observed)
}

async fn everything<A: Api>(connection: &Connection<A>) -> Result<Observed, ApiError> {
    let api = &connection.api;
    let (interfaces, instances, sessions) = futures::try_join!(
        connection.all("DescribeNetworkInterfaces", |page| api.interfaces(None, page)),
        connection.all("DescribeInstances", |page| api.instances(None, page)),
        connection.all("DescribeTrafficMirrorSessions", |page| api.sessions(None, page)),
    )?;
    Ok(Observed {
        complete: true,
        interfaces: interfaces.into_iter().map(|interface| (interface.id.clone(), interface)).collect(),
        instances: instances.into_iter().map(|instance| (instance.id.clone(), instance)).collect(),
        sessions: sessions.into_iter().map(|session| (session.id.clone(), session)).collect(),
        ..Observed::default()
    })
}

async fn touched<A: Api>(
    connection: &Connection<A>,
    owner: &str,
    touched: &Touched,
) -> Result<Observed, ApiError> {
    let by_description: Vec<String> =
        touched.instances.iter().map(|instance| description(owner, instance)).collect();
    let (by_id, by_instance, by_description) = futures::try_join!(
        interfaces(connection, "network-interface-id", texts(&touched.interfaces)),
        interfaces(connection, "attachment.instance-id", texts(&touched.instances)),
        sessions(connection, "description", by_description),
    )?;
    let mut found: BTreeMap<InterfaceId, Interface> =
        by_id.into_iter().chain(by_instance).map(|interface| (interface.id.clone(), interface)).collect();

    // An interface that has left the instance since, and is perhaps attached to another one now.
    let left: BTreeSet<&InterfaceId> = by_description
        .iter()
        .map(|session| &session.interface)
        .filter(|interface| !found.contains_key(interface) && !touched.interfaces.contains(interface))
        .collect();
    let left = interfaces(connection, "network-interface-id", texts(left)).await?;
    found.extend(left.into_iter().map(|interface| (interface.id.clone(), interface)));

    let attached = found.values().filter_map(|interface| Some(&interface.attachment.as_ref()?.instance));
    let instances: BTreeSet<&InstanceId> = touched.instances.iter().chain(attached).collect();
    let mirrored: BTreeSet<&InterfaceId> = found.keys().chain(&touched.interfaces).collect();
    let candidates: Vec<String> = found
        .keys()
        .flat_map(|interface| vni::candidates(&connection.place.account, interface))
        .map(|id| id.to_string())
        .collect();
    let (instances, of_interfaces, same_vni) = futures::try_join!(
        connection.only("DescribeInstances", "instance-id", texts(instances), async |only, page| {
            connection.api.instances(Some(&only), page).await
        }),
        sessions(connection, "network-interface-id", texts(mirrored)),
        sessions(connection, "virtual-network-id", candidates),
    )?;
    let sessions: BTreeMap<_, _> = by_description
        .into_iter()
        .chain(of_interfaces)
        .map(|session| (session.id.clone(), session))
        .collect();
    let foreign_vnis = same_vni
        .iter()
        .filter(|session| !sessions.contains_key(&session.id))
        .map(|session| session.vni)
        .collect();
    Ok(Observed {
        complete: false,
        interfaces: found,
        instances: instances.into_iter().map(|instance| (instance.id.clone(), instance)).collect(),
        sessions,
        foreign_vnis,
        ..Observed::default()
    })
}

async fn interfaces<A: Api>(
    connection: &Connection<A>,
    name: &'static str,
    values: Vec<String>,
) -> Result<Vec<Interface>, ApiError> {
    let read = async |only: Only, page| connection.api.interfaces(Some(&only), page).await;
    connection.only("DescribeNetworkInterfaces", name, values, read).await
}

async fn sessions<A: Api>(
    connection: &Connection<A>,
    name: &'static str,
    values: Vec<String>,
) -> Result<Vec<Session>, ApiError> {
    let read = async |only: Only, page| connection.api.sessions(Some(&only), page).await;
    connection.only("DescribeTrafficMirrorSessions", name, values, read).await
}
