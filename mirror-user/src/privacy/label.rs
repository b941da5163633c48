//! The label of a record that is not what was on the wire.

use super::address::AddressTreatment;
use super::fields::FieldFilter;
use super::name::NameTreatment;

/// A label, with the fields that the record may have. It goes with the record to the sink; it holds no key and nothing of the
/// packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The member `privacy`, of `mirror`; empty where there is nothing to tell.
    member: Vec<u8>,
    comment: Vec<u8>,
    fields: FieldFilter,
    has_plain_addresses: bool,
}

impl Label {
    /// No label makes a record longer by more than this many bytes.
    pub const LONGEST: usize = 160;
    /// Longest key id: letters, digits, dots, hyphens and underscores.
    pub const LONGEST_KEY_ID: usize = 32;

    /// Of records with this treatment of addresses, MAC addresses and names, by the key of this id.
    pub fn new(
        addresses: AddressTreatment,
        keeps_macs: bool,
        names: NameTreatment,
        key_id: Option<&str>,
        fields: FieldFilter,
    ) -> Self {
        let mut parts = Vec::new();
        if addresses != AddressTreatment::Keep {
            parts.push(("addresses", addresses.name()));
        }
        if !keeps_macs {
            parts.push(("macs", NameTreatment::Drop.name()));
        }
        if names != NameTreatment::Keep {
            parts.push(("names", names.name()));
        }
        parts.extend(key_id.map(|id| ("key_id", id)));
        let members: Vec<String> =
            parts.iter().map(|(name, value)| format!(r#""{name}":"{value}""#)).collect();
        let comment: String = parts.iter().map(|(name, value)| format!(" privacy_{name}={value}")).collect();
        Self {
            member: if members.is_empty() {
                Vec::new()
            } else {
                format!(r#""privacy":{{{}}}"#, members.join(",")).into_bytes()
            },
            comment: comment.into_bytes(),
            fields,
            has_plain_addresses: addresses == AddressTreatment::Keep,
        }
    }

    /// `true` if the addresses of the record are those of the wire.
    pub const fn has_plain_addresses(&self) -> bool {
        self.has_plain_addresses
    }

    /// Labels the line that `out` has from `start` on, and removes the fields that it may not have.
    pub fn apply_to_line(&self, start: usize, out: &mut Vec<u8>) {
        /// The end of `mirror`, the last member.
        const END: &[u8] = b"}}\n";
        if !self.member.is_empty() && out.ends_with(END) {
            out.truncate(out.len() - END.len());
            out.push(b',');
            out.extend_from_slice(&self.member);
            out.extend_from_slice(END);
        }
        self.fields.apply(start, out);
    }

    /// The label for the end of a comment.
    pub fn comment(&self) -> &[u8] {
        &self.comment
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(key_id: &str) -> Label {
        let fields = FieldFilter::new(None, &["mirror.queue"]);
        Label::new(AddressTreatment::Pseudonym, false, NameTreatment::Hash, Some(key_id), fields)
    }

    #[test]
    fn a_label_is_the_last_member() {
        let mut out = b"other\n{\"a\":1,\"mirror\":{\"sampling_rate\":1,\"queue\":0}}\n".to_vec();
        label("2026-11").apply_to_line(6, &mut out);
        let expected = concat!(
            "other\n",
            r#"{"a":1,"mirror":{"sampling_rate":1,"privacy":{"addresses":"pseudonym","macs":"drop","names":"hash","key_id":"2026-11"}}}"#,
            "\n"
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        assert_eq!(
            label("2026-11").comment(),
            b" privacy_addresses=pseudonym privacy_macs=drop privacy_names=hash privacy_key_id=2026-11"
        );
    }

    #[test]
    fn a_record_that_is_as_it_was_has_none() {
        let fields = FieldFilter::new(None, &[]);
        let label = Label::new(AddressTreatment::Keep, true, NameTreatment::Keep, None, fields);
        let mut out = b"{\"mirror\":{\"queue\":0}}\n".to_vec();
        label.apply_to_line(0, &mut out);
        assert_eq!(out, b"{\"mirror\":{\"queue\":0}}\n");
        assert!(label.comment().is_empty());
    }

    #[test]
    fn the_longest_label_is_no_longer_than_said() {
        let label = label(&"x".repeat(Label::LONGEST_KEY_ID));
        assert!(label.member.len() < Label::LONGEST && label.comment.len() < Label::LONGEST);
    }
}
