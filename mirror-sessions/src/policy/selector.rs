//! Selectors: the conditions by which rules select interfaces.

use crate::glob::Glob;

/// A condition on an interface.
#[derive(Clone, Debug)]
pub enum Selector {
    /// All of these hold; true without any.
    All(Vec<Self>),
    /// At least one of these holds.
    Any(Vec<Self>),
    /// The condition does not hold.
    Not(Box<Self>),
    /// The interface or its instance has this tag, and its value matches one of the globs. A tag of the interface
    /// hides the instance's tag of the same key.
    Tag {
        /// The key, compared exactly.
        key: String,
        /// Globs for the value.
        values: Vec<Glob>,
    },
    /// The property matches one of the globs.
    Property(Property, Vec<Glob>),
}

/// Properties that a selector can test, apart from tags.
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

/// The view of an interface that selectors test.
pub trait Selectable {
    /// Value of a tag: the interface's, else its instance's.
    fn tag(&self, key: &str) -> Option<&str>;

    /// Values of a property: one, or two for the zone (name and id).
    fn property(&self, property: Property) -> impl Iterator<Item = &str>;
}

impl Selector {
    /// Returns true if the condition holds for `interface`.
    pub fn selects(&self, interface: &impl Selectable) -> bool {
        let matches = |globs: &[Glob], value: &str| globs.iter().any(|glob| glob.matches(value));
        match self {
            Self::All(parts) => parts.iter().all(|part| part.selects(interface)),
            Self::Any(parts) => parts.iter().any(|part| part.selects(interface)),
            Self::Not(part) => !part.selects(interface),
            Self::Tag { key, values } => interface.tag(key).is_some_and(|value| matches(values, value)),
            Self::Property(property, globs) => {
                interface.property(*property).any(|value| matches(globs, value))
            }
        }
    }
}
