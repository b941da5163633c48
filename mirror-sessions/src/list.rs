//! What is mirrored now, as a table or JSON.

use std::fmt;

use serde::Serialize;

use crate::id::{InterfaceId, Place, SessionId};
use crate::manager::World;
use crate::observed::{Observed, Owned as _, Session, Tags};
use crate::tags;

/// One session, as lists show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Account and region.
    #[serde(flatten)]
    pub place: Place,
    /// The session.
    pub session: SessionId,
    /// Its interface.
    pub interface: InterfaceId,
    /// The interface's instance.
    pub instance: Option<String>,
    /// Value of the instance's tag `Name`.
    pub name: Option<String>,
    /// The rule that wants it, where the policy's owner made it.
    pub rule: Option<String>,
    /// Whether the policy's owner made it.
    pub owned: bool,
    /// Its number among the interface's sessions.
    pub number: u16,
    /// Its virtual network id.
    pub vni: u32,
    /// Its target: the endpoint, where that is known.
    pub target: String,
    /// Its filter: the name, where the policy's owner made it.
    pub filter: String,
    /// Bytes mirrored of each packet; without a number, all.
    pub packet_length: Option<u16>,
    /// When it ends.
    pub ends: Option<String>,
    /// Its tags.
    pub tags: Tags,
}

/// The sessions of the world, those of others too if `all`; ordered by place, interface and number.
pub fn rows(world: &World, owner: &str, all: bool) -> Vec<Row> {
    let mut rows: Vec<Row> = world
        .places
        .iter()
        .flat_map(|(place, observed)| {
            observed.sessions.values().map(move |session| row(place, observed, session, owner))
        })
        .filter(|row| all || row.owned)
        .collect();
    rows.sort_by(|one, other| {
        (&one.place, &one.interface, one.number).cmp(&(&other.place, &other.interface, other.number))
    });
    rows
}

fn row(place: &Place, observed: &Observed, session: &Session, owner: &str) -> Row {
    let owned = session.owned_by(owner);
    let instance = observed.instance_of(&session.interface);
    let endpoint = observed.targets.get(&session.target).and_then(|target| target.endpoint.as_ref());
    let filter = observed.filters.get(&session.filter).filter(|filter| filter.owned_by(owner));
    let tag = |key: &str| session.tags.get(key).filter(|_| owned).cloned();
    Row {
        place: place.clone(),
        session: session.id.clone(),
        interface: session.interface.clone(),
        instance: instance.map(|instance| instance.id.to_string()),
        name: instance.and_then(|instance| instance.tags.get(tags::NAME)).cloned(),
        rule: tag(tags::RULE),
        owned,
        number: session.number,
        vni: session.vni,
        target: endpoint.map_or_else(|| session.target.to_string(), ToString::to_string),
        filter: filter
            .and_then(|filter| filter.tags.get(tags::FILTER))
            .cloned()
            .unwrap_or_else(|| session.filter.to_string()),
        packet_length: session.packet_length,
        ends: tag(tags::ENDS),
        tags: session.tags.clone(),
    }
}

impl Row {
    /// Whether `id` is its session, its interface or its instance.
    pub fn is_about(&self, id: &str) -> bool {
        self.session.as_str() == id || self.interface.as_str() == id || self.instance.as_deref() == Some(id)
    }
}

/// Rows as a table for people.
pub struct Table<'a>(pub &'a [Row]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = [
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
        let cells = |row: &Row| {
            let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
            [
                row.place.account.to_string(),
                row.place.region.to_string(),
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
            std::iter::once(head.map(str::to_owned)).chain(self.0.iter().map(cells)).collect();
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

/// A session with all that is known of it, a line for each property.
pub struct Details<'a>(pub &'a Row);

impl fmt::Display for Details<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row {
            place,
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
        writeln!(formatter, "place       {place}")?;
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
