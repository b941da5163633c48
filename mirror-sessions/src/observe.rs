//! Reads the resources of an account and region: all of them, or only those that an event affects.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::{Api, filter_values};
use crate::api_error::ApiError;
use crate::connection::Connection;
use crate::id::{InstanceId, InterfaceId};
use crate::observation::{Affected, Observation, Scope};
use crate::ownership::session_description;
use crate::resource::{Filter, Instance, Interface, Session, Target};
use crate::vni;

/// Reads the resources in `scope`. `owner` is the owner whose sessions an event can affect.
///
/// # Errors
///
/// The first call that fails for good: in half an observation, resources that were not read would look deleted.
pub async fn observe<A: Api>(
    connection: &Connection<A>,
    owner: &str,
    scope: &Scope,
) -> Result<Observation, ApiError> {
    let (mut observation, filters, targets, zones) = tokio::try_join!(
        async {
            match scope {
                Scope::Everything => observe_everything(connection).await,
                Scope::Affected(affected) => observe_affected(connection, owner, affected).await,
            }
        },
        connection.describe::<Filter>(),
        connection.describe::<Target>(),
        connection.zones(),
    )?;
    observation.filters = by_key(filters, |filter| &filter.id);
    observation.targets = by_key(targets, |target| &target.id);
    observation.zone_ids = zones.into_iter().collect();
    Ok(observation)
}

async fn observe_everything<A: Api>(connection: &Connection<A>) -> Result<Observation, ApiError> {
    let (interfaces, instances, sessions) = tokio::try_join!(
        connection.describe::<Interface>(),
        connection.describe::<Instance>(),
        connection.describe::<Session>(),
    )?;
    Ok(Observation {
        complete: true,
        interfaces: by_key(interfaces, |interface| &interface.id),
        instances: by_key(instances, |instance| &instance.id),
        sessions: by_key(sessions, |session| &session.id),
        ..Observation::default()
    })
}

async fn observe_affected<A: Api>(
    connection: &Connection<A>,
    owner: &str,
    affected: &Affected,
) -> Result<Observation, ApiError> {
    let descriptions: Vec<String> =
        affected.instances.iter().map(|instance| session_description(owner, instance)).collect();
    let (by_id, by_instance, by_description) = tokio::try_join!(
        connection
            .describe_matching::<Interface>("network-interface-id", filter_values(&affected.interfaces)),
        connection.describe_matching("attachment.instance-id", filter_values(&affected.instances)),
        connection.describe_matching::<Session>("description", descriptions),
    )?;
    let mut interfaces: BTreeMap<InterfaceId, Interface> =
        by_key(by_id.into_iter().chain(by_instance), |interface| &interface.id);

    // Interfaces that were detached from the instance, and perhaps attached to another one since.
    let detached: BTreeSet<&InterfaceId> = by_description
        .iter()
        .map(|session| &session.interface)
        .filter(|interface| !interfaces.contains_key(interface) && !affected.interfaces.contains(interface))
        .collect();
    let detached: Vec<Interface> =
        connection.describe_matching("network-interface-id", filter_values(detached)).await?;
    interfaces.extend(by_key(detached, |interface| &interface.id));

    let attached = interfaces.values().filter_map(|interface| Some(&interface.attachment.as_ref()?.instance));
    let instances: BTreeSet<&InstanceId> = affected.instances.iter().chain(attached).collect();
    let mirrored: BTreeSet<&InterfaceId> = interfaces.keys().chain(&affected.interfaces).collect();
    let vni_candidates: Vec<String> = interfaces
        .keys()
        .flat_map(|interface| vni::candidates(&connection.account_region.account, interface))
        .map(|id| id.to_string())
        .collect();
    let (instances, by_interface, same_vni) = tokio::try_join!(
        connection.describe_matching::<Instance>("instance-id", filter_values(instances)),
        connection.describe_matching::<Session>("network-interface-id", filter_values(mirrored)),
        connection.describe_matching::<Session>("virtual-network-id", vni_candidates),
    )?;
    let sessions = by_key(by_description.into_iter().chain(by_interface), |session| &session.id);
    let foreign_vnis = same_vni
        .iter()
        .filter(|session| !sessions.contains_key(&session.id))
        .map(|session| session.vni)
        .collect();
    Ok(Observation {
        complete: false,
        interfaces,
        instances: by_key(instances, |instance| &instance.id),
        sessions,
        foreign_vnis,
        ..Observation::default()
    })
}

/// Resources by their id.
fn by_key<Id: Clone + Ord, R>(
    resources: impl IntoIterator<Item = R>,
    id: impl Fn(&R) -> &Id,
) -> BTreeMap<Id, R> {
    resources.into_iter().map(|resource| (id(&resource).clone(), resource)).collect()
}
