//! `selector.*` of a source: which of its channels get an event.

use super::diagnostics::Diagnostics;
use super::known::{Property, Scope, row};
use super::model::Selector;
use super::section::{Section, words};

const REPLICATING: [&str; 2] =
    ["replicating", "org.apache.flume.channel.ReplicatingChannelSelector"];
const MULTIPLEXING: [&str; 2] =
    ["multiplexing", "org.apache.flume.channel.MultiplexingChannelSelector"];
const MAPPING: &str = "selector.mapping.";
const OPTIONAL: &str = "selector.optional.";

const fn of(name: &str) -> &'static Property {
    row(Scope::Source, name)
}

/// Builds the selector of a source with these channels, and which of them are optional. `resolve` finds the index of
/// a channel. What is wrong is in `found`.
pub(super) fn build(
    section: &Section,
    found: &mut Diagnostics,
    channels: &[usize],
    resolve: impl Fn(&str) -> Option<usize>,
) -> (Selector, Vec<usize>) {
    let is = |names: &[&str]| {
        let kind = section.text(const { of("selector.type") });
        names.iter().any(|name| name.eq_ignore_ascii_case(&kind))
    };
    if is(&REPLICATING) {
        warn_of_idle(section, found);
        let optional = Reader { section, found, channels, resolve }.list("selector.optional");
        if !channels.is_empty() && optional.len() == channels.len() {
            let message =
                "every channel is optional, so that nothing would be waited for; leave one out";
            section.error(found, "selector.optional", message);
        }
        return (Selector::Replicating, optional);
    }
    if !is(&MULTIPLEXING) {
        let message = format!(
            "Unable to load selector type: {}: only replicating (every event to every channel) and \
             multiplexing (by a header) are supported; write one of them, or remove it",
            section.text(const { of("selector.type") })
        );
        section.error(found, "selector.type", message);
        return (Selector::Replicating, Vec::new());
    }
    let mut reader = Reader { section, found, channels, resolve };
    let default = reader.list("selector.default");
    let mut mapping: Vec<(String, Vec<usize>)> = Vec::new();
    for prop in &section.props {
        if let Some(value) = prop.name.strip_prefix(MAPPING) {
            mapping.push((value.to_owned(), reader.list(&prop.name)));
        }
    }
    let mut required = default.clone();
    required.extend(mapping.iter().flat_map(|(_, channels)| channels));
    let mut optional_ones: Vec<usize> = Vec::new();
    for prop in &section.props {
        let Some(value) = prop.name.strip_prefix(OPTIONAL) else { continue };
        let optional = reader.list(&prop.name);
        let at = match mapping.iter().position(|(mapped, _)| mapped == value) {
            Some(at) => at,
            None => {
                mapping.push((value.to_owned(), default.clone()));
                mapping.len() - 1
            }
        };
        let all = &mut mapping[at].1;
        for channel in optional {
            if !all.contains(&channel) {
                all.push(channel);
            }
            if required.contains(&channel) {
                tell_required(section, reader.found, &prop.name);
            } else if !optional_ones.contains(&channel) {
                optional_ones.push(channel);
            }
        }
    }
    if !channels.is_empty() && optional_ones.len() == channels.len() {
        let message = "every channel is optional, so that nothing would be waited for; map a value, or write \
                       a default";
        section.error(found, "selector.type", message);
    }
    tell(section, found, &mapping, &default);
    let header = section.text(const { of("selector.header") });
    (Selector::Multiplexing { header, mapping, default }, optional_ones)
}

/// What belongs to a selector of another type would be without effect, in silence.
fn warn_of_idle(section: &Section, found: &mut Diagnostics) {
    let is_idle = |name: &str| {
        name == "selector.header" || name == "selector.default" || name.starts_with(MAPPING)
    };
    if let Some(prop) = section.props.iter().find(|prop| is_idle(&prop.name)) {
        let message = format!(
            "without effect, since every channel gets every event; write {} = multiplexing",
            section.key("selector.type")
        );
        section.warn(found, &prop.name, message);
    }
}

fn tell(
    section: &Section,
    found: &mut Diagnostics,
    mapping: &[(String, Vec<usize>)],
    default: &[usize],
) {
    if default.is_empty() {
        let message = format!(
            "events whose header {} is not mapped go nowhere, and count as done; write {} = c1 if they are \
             wanted",
            section.text(const { of("selector.header") }),
            section.key("selector.default")
        );
        section.warn(found, "selector.type", message);
    }
    if mapping.is_empty() {
        section.warn(found, "selector.type", "no value is mapped: every event goes to the default");
    }
}

/// A channel is waited for or it is not, whatever the value.
fn tell_required(section: &Section, found: &mut Diagnostics, name: &str) {
    found.info(format!(
        "{}: the channel is required for another value or by default, so that it is waited for and gets these \
         events as surely as those",
        section.key(name)
    ));
}

struct Reader<'a, F> {
    section: &'a Section,
    found: &'a mut Diagnostics,
    channels: &'a [usize],
    resolve: F,
}

impl<F: Fn(&str) -> Option<usize>> Reader<'_, F> {
    /// The channels that a property names, by their places in the source's list.
    fn list(&mut self, name: &str) -> Vec<usize> {
        let Some(prop) = self.section.get(name) else { return Vec::new() };
        let mut places = Vec::new();
        for channel in words(self.found, &self.section.key(name), &prop.value, prop.line) {
            let index = (self.resolve)(&channel);
            match self.channels.iter().position(|at| Some(*at) == index) {
                Some(place) => places.push(place),
                None => {
                    let message = format!(
                        "Selector channel not found: {channel}; name one of {}",
                        self.section.key("channels")
                    );
                    self.section.error(self.found, name, message);
                }
            }
        }
        places
    }
}
