//! The interceptors of a source.

use std::sync::Arc;

use super::diagnostics::Diagnostics;
use super::known::{Property, Scope, row};
use super::model::{InterceptorConfig, Serializer};
use super::section::{Prop, Section, type_meant, words};
use crate::java::joda::TimePattern;
use crate::java::pattern::{Groups, Pattern, PatternError, Replacement};

/// The alias and the class name in Flume of each supported type.
const TYPES: [(Scope, [&str; 2]); 9] = [
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
    (
        Scope::RegexExtractorInterceptor,
        ["regex_extractor", "org.apache.flume.interceptor.RegexExtractorInterceptor$Builder"],
    ),
    (
        Scope::SearchReplaceInterceptor,
        ["search_replace", "org.apache.flume.interceptor.SearchAndReplaceInterceptor$Builder"],
    ),
    (
        Scope::RemoveHeaderInterceptor,
        ["remove_header", "org.apache.flume.interceptor.RemoveHeaderInterceptor$Builder"],
    ),
    (
        Scope::UuidInterceptor,
        ["uuid", "org.apache.flume.sink.solr.morphline.UUIDInterceptor$Builder"],
    ),
    (Scope::JsonFilterInterceptor, ["json_filter", "json_filter"]),
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
        refuse_custom(section, kind, found);
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
        Scope::RegexExtractorInterceptor => regex_extractor(section, found),
        Scope::SearchReplaceInterceptor => search_replace(section, found),
        Scope::RemoveHeaderInterceptor => remove_header(section, found),
        Scope::UuidInterceptor => Some(uuid(section, found)),
        Scope::JsonFilterInterceptor => Some(InterceptorConfig::JsonFilter),
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

/// What can replace a Java class of the user's own.
fn refuse_custom(section: &Section, kind: &Prop, found: &mut Diagnostics) {
    let name = kind.value.to_ascii_lowercase();
    let advice = if name.contains("morphline") {
        "a morphline cannot be run; regex_extractor, search_replace and regex_filter do parts of that"
    } else if ["json", "etl"].iter().any(|word| name.contains(word)) {
        "json_filter does what most classes of such a name do: it drops lines that are not JSON"
    } else if ["time", "type", "topic", "header"].iter().any(|word| name.contains(word)) {
        "regex_extractor makes headers from a line, and from a time with its millis serializer"
    } else {
        "regex_extractor makes headers of a line, regex_filter and json_filter drop lines, \
         search_replace changes them"
    };
    let all = format!(
        "Java classes cannot be run here: {advice}; known are timestamp, host, static, uuid, regex_filter, \
         regex_extractor, search_replace, remove_header and json_filter"
    );
    let names: Vec<&'static str> = TYPES.iter().flat_map(|(_, names)| *names).collect();
    let way_out = type_meant(&kind.value, &names, &all);
    section.error(
        found,
        "type",
        format!("Interceptor.Builder not found: {}. {way_out}", kind.value),
    );
}

fn required<'a>(
    section: &'a Section,
    found: &mut Diagnostics,
    name: &str,
    flumes: &str,
) -> Option<&'a str> {
    let value = section.get(name).map(|prop| prop.value.as_str());
    if value.is_none() {
        section.error(found, name, format!("{flumes}; write {} = …", section.key(name)));
    }
    value
}

fn groups(
    section: &Section,
    found: &mut Diagnostics,
    row: &Property,
    java: &str,
) -> Option<Groups> {
    section.warn_if_bare(found, row);
    Groups::compile(java).map_err(|e| section.error(found, row.name, e.to_string())).ok()
}

fn regex_extractor(section: &Section, found: &mut Diagnostics) -> Option<InterceptorConfig> {
    let regex = const { row(Scope::RegexExtractorInterceptor, "regex") };
    let java = required(section, found, "regex", "Must supply a valid regex string");
    let groups = java.and_then(|java| groups(section, found, regex, java));
    let names =
        required(section, found, "serializers", "Must supply at least one name and serializer")?;
    let line = section.get("serializers").map_or(0, |prop| prop.line);
    let names = words(found, &section.key("serializers"), names, line);
    let count = names.len();
    let serializers: Vec<Serializer> =
        names.iter().filter_map(|name| serializer(section, found, name)).collect();
    let groups = groups?;
    if count > groups.count() {
        let message = format!(
            "{count} serializers, but the pattern has {} groups: the other serializers get nothing",
            groups.count()
        );
        section.warn(found, "serializers", message);
    }
    let is_whole = serializers.len() == count;
    is_whole.then(|| InterceptorConfig::RegexExtractor { groups: Arc::new(groups), serializers })
}

const MILLIS: &str = "org.apache.flume.interceptor.RegexExtractorInterceptorMillisSerializer";
const PASS_THROUGH: &str =
    "org.apache.flume.interceptor.RegexExtractorInterceptorPassThroughSerializer";

fn serializer(section: &Section, found: &mut Diagnostics, name: &str) -> Option<Serializer> {
    let key = |what: &str| format!("serializers.{name}.{what}");
    let header = required(section, found, &key("name"), "Supplied name cannot be empty.")?;
    let kind = section.get(&key("type")).map_or("DEFAULT", |prop| prop.value.as_str());
    let time = match kind {
        MILLIS => {
            let joda =
                required(section, found, &key("pattern"), "Must configure with a valid pattern")?;
            let tell = |e| section.error(found, &key("pattern"), e);
            Some(TimePattern::parse(joda).map_err(tell).ok()?)
        }
        kind if kind == PASS_THROUGH || kind.eq_ignore_ascii_case("default") => None,
        other => {
            let message = format!("serializer {other} is not known; use default or {MILLIS}");
            section.error(found, &key("type"), message);
            return None;
        }
    };
    Some(Serializer { header: header.to_owned(), time })
}

fn search_replace(section: &Section, found: &mut Diagnostics) -> Option<InterceptorConfig> {
    let search = const { row(Scope::SearchReplaceInterceptor, "searchPattern") };
    let flumes = "Must supply a valid search pattern searchPattern (may not be empty)";
    let java = required(section, found, "searchPattern", flumes)?;
    let charset = section.text(const { row(Scope::SearchReplaceInterceptor, "charset") });
    if !["UTF-8", "UTF8", "US-ASCII"].iter().any(|name| name.eq_ignore_ascii_case(&charset)) {
        section.error(found, "charset", format!("{charset} is not supported; bodies are UTF-8"));
    }
    let groups = groups(section, found, search, java)?;
    let with = section.get("replaceString").map_or("", |prop| prop.value.as_str());
    let tell = |e| section.error(found, "replaceString", e);
    let replacement = Replacement::parse(with, groups.count()).map_err(tell).ok()?;
    Some(InterceptorConfig::SearchReplace { groups: Arc::new(groups), replacement })
}

fn remove_header(section: &Section, found: &mut Diagnostics) -> Option<InterceptorConfig> {
    let mut names: Vec<String> =
        section.get("withName").map(|prop| prop.value.clone()).into_iter().collect();
    if let Some(list) = section.get("fromList") {
        let separator =
            section.text(const { row(Scope::RemoveHeaderInterceptor, "fromListSeparator") });
        let tell = |e: PatternError| section.error(found, "fromListSeparator", e.to_string());
        let separator = Groups::compile(&separator).map_err(tell).ok()?;
        let split = Replacement::parse("\u{0}", 0).ok()?;
        let parts = separator.replace_all(&list.value, &split).ok()?;
        let parts = parts.unwrap_or_else(|| list.value.clone());
        names.extend(parts.split('\u{0}').map(str::to_owned));
    }
    let matching = match section.get("matching") {
        Some(prop) => {
            section.warn_if_bare(found, const { row(Scope::RemoveHeaderInterceptor, "matching") });
            let tell = |e: PatternError| section.error(found, "matching", e.to_string());
            Some(Pattern::compile(&prop.value).map_err(tell).ok()?)
        }
        None => None,
    };
    if names.is_empty() && matching.is_none() {
        section.warn(found, "type", "names no header, so it removes none");
    }
    Some(InterceptorConfig::RemoveHeader { names, matching })
}

fn uuid(section: &Section, found: &mut Diagnostics) -> InterceptorConfig {
    let prefix = section.get("prefix").map_or("", |prop| prop.value.as_str());
    InterceptorConfig::Uuid {
        header: section.text(const { row(Scope::UuidInterceptor, "headerName") }),
        prefix: prefix.to_owned(),
        preserve_existing: section
            .boolean(found, const { row(Scope::UuidInterceptor, "preserveExisting") }),
    }
}
