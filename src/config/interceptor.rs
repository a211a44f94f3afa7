//! The interceptors of a source.

use super::diagnostics::Diagnostics;
use super::known::{Scope, row};
use super::model::InterceptorConfig;
use super::section::{Prop, Section, words};
use crate::java::pattern::Pattern;

/// The alias and the class name in Flume of each supported type.
const TYPES: [(Scope, [&str; 2]); 4] = [
    (
        Scope::TimestampInterceptor,
        ["timestamp", "org.apache.flume.interceptor.TimestampInterceptor$Builder"],
    ),
    (Scope::HostInterceptor, ["host", "org.apache.flume.interceptor.HostInterceptor$Builder"]),
    (
        Scope::StaticInterceptor,
        ["static", "org.apache.flume.interceptor.StaticInterceptor$Builder"],
    ),
    (
        Scope::RegexFilterInterceptor,
        ["regex_filter", "org.apache.flume.interceptor.RegexFilteringInterceptor$Builder"],
    ),
];

/// Builds the chain of a source in its order; faults go to `found`.
pub(super) fn build_all(source: &Section, found: &mut Diagnostics) -> Vec<InterceptorConfig> {
    let (names, list_line) = match source.get("interceptors") {
        Some(prop) => {
            (words(found, &source.key("interceptors"), &prop.value, prop.line), prop.line)
        }
        None => (Vec::new(), source.list_line),
    };
    warn_unlisted(source, found, &names);
    let sections = names.into_iter().map(|name| sub_section(source, name, list_line));
    sections.filter_map(|section| build(&section, found)).collect()
}

/// The properties `interceptors.NAME.*` of the source.
fn sub_section(source: &Section, name: String, list_line: usize) -> Section {
    let start = format!("interceptors.{name}.");
    let props = source.props.iter().filter_map(|p| {
        let name = p.name.strip_prefix(&start)?.to_string();
        Some(Prop { name, ..p.clone() })
    });
    let prefix = format!("{}.interceptors.{name}", source.prefix);
    Section { prefix, name, list_line, props: props.collect() }
}

fn warn_unlisted(source: &Section, found: &mut Diagnostics, names: &[String]) {
    for prop in &source.props {
        let Some(rest) = prop.name.strip_prefix("interceptors.") else { continue };
        let name = rest.split('.').next().unwrap_or(rest);
        if !names.iter().any(|n| n == name) {
            let message = format!(
                "interceptor {name} is configured but not listed, so it is ignored; add it to {}",
                source.key("interceptors")
            );
            source.warn(found, &prop.name, message);
        }
    }
}

fn build(section: &Section, found: &mut Diagnostics) -> Option<InterceptorConfig> {
    let Some(kind) = section.get("type") else {
        let message = format!(
            "interceptor {} has no type; write {} = static or another",
            section.name,
            section.key("type")
        );
        section.error(found, "type", message);
        return None;
    };
    let Some((scope, _)) = TYPES.iter().find(|(_, names)| section.type_is(names)) else {
        let message = format!(
            "Interceptor.Builder not found: {}; supported are timestamp, host, static and \
             regex_filter",
            kind.value
        );
        section.error(found, "type", message);
        return None;
    };
    section.check_names(found, &[*scope]);
    match scope {
        Scope::TimestampInterceptor => Some(InterceptorConfig::Timestamp {
            header: section.text(const { row(Scope::TimestampInterceptor, "headerName") }),
            preserve_existing: section
                .boolean(found, const { row(Scope::TimestampInterceptor, "preserveExisting") }),
        }),
        Scope::HostInterceptor => Some(InterceptorConfig::Host {
            use_ip: section.boolean(found, const { row(Scope::HostInterceptor, "useIP") }),
            header: section.text(const { row(Scope::HostInterceptor, "hostHeader") }),
            preserve_existing: section
                .boolean(found, const { row(Scope::HostInterceptor, "preserveExisting") }),
        }),
        Scope::StaticInterceptor => Some(InterceptorConfig::Static {
            key: section.text(const { row(Scope::StaticInterceptor, "key") }),
            value: section.text(const { row(Scope::StaticInterceptor, "value") }),
            preserve_existing: section
                .boolean(found, const { row(Scope::StaticInterceptor, "preserveExisting") }),
        }),
        _ => {
            let regex = const { row(Scope::RegexFilterInterceptor, "regex") };
            section.warn_if_bare(found, regex);
            let pattern = Pattern::compile(&section.text(regex))
                .map_err(|error| section.error(found, "regex", error.to_string()))
                .ok();
            let exclude_events = section
                .boolean(found, const { row(Scope::RegexFilterInterceptor, "excludeEvents") });
            Some(InterceptorConfig::RegexFilter { pattern: pattern?, exclude_events })
        }
    }
}
