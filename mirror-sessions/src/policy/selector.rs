//! Which interfaces a rule is about.

use wildmatch::WildMatch;

/// A condition on an interface.
#[derive(Clone, Debug)]
pub enum Selector {
    /// Every one of these holds; holds by itself when there are none.
    All(Vec<Self>),
    /// At least one of these holds.
    Any(Vec<Self>),
    /// This does not hold.
    Not(Box<Self>),
    /// The interface or its instance has this tag, and its value matches one of the globs. A tag of the interface
    /// hides the instance's tag of the same key.
    Tag {
        /// The key, compared as it is.
        key: String,
        /// Globs for the value: `*` stands for any characters, `?` for one.
        values: Vec<WildMatch>,
    },
    /// This property matches one of the globs.
    Property(Property, Vec<WildMatch>),
}

/// What a selector can look at, beside tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Property {
    /// The account id.
    Account,
    /// The region.
    Region,
    /// The zone, by name or id.
    Zone,
    /// The VPC id.
    Vpc,
    /// The subnet id.
    Subnet,
    /// The instance id.
    Instance,
    /// The instance type.
    InstanceType,
    /// The interface id.
    Interface,
}

/// What selectors are asked about.
pub trait Subject {
    /// Value of a tag of the interface, or else of its instance.
    fn tag(&self, key: &str) -> Option<&str>;

    /// Values of a property: one, or none where the interface has no such thing, or two for the zone.
    fn property(&self, property: Property) -> impl Iterator<Item = &str>;
}

impl Selector {
    /// Whether the condition holds for `subject`.
    pub fn selects(&self, subject: &impl Subject) -> bool {
        let matches = |globs: &[WildMatch], value: &str| globs.iter().any(|glob| glob.matches(value));
        match self {
            Self::All(parts) => parts.iter().all(|part| part.selects(subject)),
            Self::Any(parts) => parts.iter().any(|part| part.selects(subject)),
            Self::Not(part) => !part.selects(subject),
            Self::Tag { key, values } => subject.tag(key).is_some_and(|value| matches(values, value)),
            Self::Property(property, globs) => subject.property(*property).any(|value| matches(globs, value)),
        }
    }
}
