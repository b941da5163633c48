//! Lists of sessions, as a table or JSON.

use std::fmt;

use serde::Serialize;

use crate::id::{AccountRegion, InterfaceId, SessionId};
use crate::observation::{Observation, Observations};
use crate::ownership::{self, Owned as _};
use crate::resource::{Session, Tags};

/// A session, as lists show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SessionRow {
    /// Account and region.
    #[serde(flatten)]
    pub account_region: AccountRegion,
    /// The session.
    pub session: SessionId,
    /// Its interface.
    pub interface: InterfaceId,
    /// The interface's instance.
    pub instance: Option<String>,
    /// Value of the instance's tag `Name`.
    pub name: Option<String>,
    /// The rule that created it, for sessions of the policy's owner.
    pub rule: Option<String>,
    /// Ownership: true if it belongs to the policy's owner.
    pub owned: bool,
    /// The session number.
    pub number: u16,
    /// Its virtual network id.
    pub vni: u32,
    /// Its target: the endpoint, if that is known.
    pub target: String,
    /// Its filter: the name, for filters of the policy's owner.
    pub filter: String,
    /// Bytes of each packet that are mirrored; `None` for whole packets.
    pub packet_length: Option<u16>,
    /// End time of its rule.
    pub ends: Option<String>,
    /// Its tags.
    pub tags: Tags,
}

/// The observed sessions of `owner`, or of every owner if `all`; ordered by account, region, interface and number.
pub fn rows(observations: &Observations, owner: &str, all: bool) -> Vec<SessionRow> {
    let mut rows: Vec<SessionRow> = observations
        .account_regions
        .iter()
        .flat_map(|(account_region, observation)| {
            observation.sessions.values().map(move |session| row(account_region, observation, session, owner))
        })
        .filter(|row| all || row.owned)
        .collect();
    rows.sort_by(|one, other| {
        (&one.account_region, &one.interface, one.number).cmp(&(
            &other.account_region,
            &other.interface,
            other.number,
        ))
    });
    rows
}

fn row(
    account_region: &AccountRegion,
    observation: &Observation,
    session: &Session,
    owner: &str,
) -> SessionRow {
    let owned = session.owned_by(owner);
    let instance = observation.instance_of(&session.interface);
    let endpoint = observation.targets.get(&session.target).and_then(|target| target.endpoint.as_ref());
    let filter = observation.filters.get(&session.filter).filter(|filter| filter.owned_by(owner));
    let tag = |key: &str| session.tags.get(key).filter(|_| owned).cloned();
    SessionRow {
        account_region: account_region.clone(),
        session: session.id.clone(),
        interface: session.interface.clone(),
        instance: instance.map(|instance| instance.id.to_string()),
        name: instance.and_then(|instance| instance.tags.get(ownership::NAME_TAG)).cloned(),
        rule: tag(ownership::RULE_TAG),
        owned,
        number: session.number,
        vni: session.vni,
        target: endpoint.map_or_else(|| session.target.to_string(), ToString::to_string),
        filter: filter
            .and_then(|filter| filter.tags.get(ownership::FILTER_TAG))
            .cloned()
            .unwrap_or_else(|| session.filter.to_string()),
        packet_length: session.packet_length,
        ends: tag(ownership::ENDS_TAG),
        tags: session.tags.clone(),
    }
}

impl SessionRow {
    /// Returns true if `id` is its session, interface or instance.
    pub fn matches_id(&self, id: &str) -> bool {
        self.session.as_str() == id || self.interface.as_str() == id || self.instance.as_deref() == Some(id)
    }
}

/// Sessions as a table for people.
pub struct Table<'a>(pub &'a [SessionRow]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = [
            "ACCOUNT",
            "REGION",
            "SESSION",
            "INTERFACE",
            "INSTANCE",
            "NAME",
            "RULE",
            "NUMBER",
            "VNI",
            "TARGET",
            "FILTER",
            "BYTES",
        ];
        let cells = |row: &SessionRow| {
            let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
            [
                row.account_region.account.to_string(),
                row.account_region.region.to_string(),
                row.session.to_string(),
                row.interface.to_string(),
                text(&row.instance),
                text(&row.name),
                text(&row.rule),
                row.number.to_string(),
                row.vni.to_string(),
                row.target.clone(),
                row.filter.clone(),
                row.packet_length.map_or_else(|| "all".to_owned(), |length| length.to_string()),
            ]
        };
        let rows: Vec<[String; 12]> =
            std::iter::once(header.map(str::to_owned)).chain(self.0.iter().map(cells)).collect();
        let mut widths = [0; 12];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        for row in &rows {
            let line: Vec<String> =
                row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            writeln!(formatter, "{}", line.join("  ").trim_end())?;
        }
        Ok(())
    }
}

/// A session with all its properties, one on each line.
pub struct Details<'a>(pub &'a SessionRow);

impl fmt::Display for Details<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SessionRow {
            account_region,
            session,
            interface,
            instance,
            name,
            rule,
            owned,
            number,
            vni,
            target,
            filter,
            packet_length,
            ends,
            tags,
        } = self.0;
        let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        writeln!(formatter, "session     {session}")?;
        writeln!(formatter, "account     {}", account_region.account)?;
        writeln!(formatter, "region      {}", account_region.region)?;
        writeln!(formatter, "interface   {interface}")?;
        writeln!(formatter, "instance    {} ({})", text(instance), text(name))?;
        writeln!(formatter, "made by     {}", if *owned { "this policy" } else { "others" })?;
        writeln!(formatter, "rule        {}", text(rule))?;
        writeln!(formatter, "number      {number}")?;
        writeln!(formatter, "vni         {vni}")?;
        writeln!(formatter, "target      {target}")?;
        writeln!(formatter, "filter      {filter}")?;
        writeln!(
            formatter,
            "bytes       {}",
            packet_length.map_or_else(|| "all".to_owned(), |length| length.to_string())
        )?;
        writeln!(formatter, "ends        {}", text(ends))?;
        tags.iter().try_for_each(|(key, value)| writeln!(formatter, "tag         {key} = {value}"))
    }
}
