//! What a value may refer to: `${env:X}`, `${sys:X}` and, with a filter, `${f1['X']}`, as Flume 1.9 to
//! 1.11 replace them, in the properties of any component.
//!
//! Two things differ from Flume on purpose. What is not set and has no default is an error that names it,
//! where Flume goes on with the text `${...}`, as a topic or as a password; only in the value of a header
//! (`static`) it stays as it is written, and that is said. And one property cannot refer to another,
//! which works in Flume or does not by the order of a hash.

use std::collections::BTreeMap;

use super::diagnostics::Diagnostics;
use super::filter::Filter;

/// Values that refer to each other go no deeper.
const DEPTH_MAX: usize = 16;
/// No value is longer once it is expanded, bytes.
const VALUE_BYTES_MAX: usize = 1 << 20;

/// Flume 1.8 and 1.9 replace `${X}` by the environment's X where this is `propertiesImplementation`.
const RESOLVER: &str = "org.apache.flume.node.EnvVarResolverProperties";

/// What a configuration may refer to beside itself.
pub(crate) struct Setting<'a> {
    /// `-Dkey=value`; the last of a key counts.
    pub system: &'a [(String, String)],
    pub variable: &'a dyn Fn(&str) -> Option<String>,
}

impl Setting<'_> {
    /// A property of the system, as `-Dkey=value` gives it.
    pub(super) fn system(&self, key: &str) -> Option<String> {
        let given =
            self.system.iter().rev().find(|(k, _)| k == key).map(|(_, value)| value.clone());
        // What every JVM has by itself and a configuration may well want.
        given.or_else(|| match key {
            "user.home" => (self.variable)("HOME"),
            "user.name" => (self.variable)("USER").or_else(|| (self.variable)("LOGNAME")),
            "user.dir" => Some(std::env::current_dir().ok()?.to_string_lossy().into_owned()),
            "java.io.tmpdir" => Some("/tmp".to_string()),
            "file.separator" => Some("/".to_string()),
            _ => None,
        })
    }

    fn takes_bare_names(&self) -> bool {
        self.system("propertiesImplementation").is_some_and(|name| name == RESOLVER)
    }
}

/// Why a reference cannot be replaced, in words with a way out.
struct Unresolved(String);

/// Replaces the references of one agent's values.
pub(super) struct Expander<'a> {
    agent: &'a str,
    setting: &'a Setting<'a>,
    filters: BTreeMap<String, Filter>,
    /// The value at work holds something that a filter gave.
    is_secret: bool,
}

impl<'a> Expander<'a> {
    pub(super) fn new(
        agent: &'a str,
        setting: &'a Setting<'a>,
        filters: BTreeMap<String, Filter>,
    ) -> Expander<'a> {
        Expander { agent, setting, filters, is_secret: false }
    }

    /// The value of `key` with all references replaced, and whether a filter gave any of it. Where that
    /// cannot be, there is a finding, and the value stays.
    pub(super) fn expand(
        &mut self,
        key: &str,
        line: usize,
        value: &str,
        found: &mut Diagnostics,
    ) -> (String, bool) {
        if !value.contains("${") {
            return (value.to_string(), false);
        }
        self.is_secret = false;
        let is_text = is_text_of_a_header(key);
        match self.replace(value, is_text, 0) {
            Ok((text, None)) => (text, self.is_secret),
            Ok((text, Some(Unresolved(why)))) => {
                found.warn(key, line, format!("{why}; it stays as it is written"));
                (text, self.is_secret)
            }
            Err(Unresolved(why)) => {
                found.error(key, line, why);
                (value.to_string(), false)
            }
        }
    }

    /// With `keeps` what cannot be replaced stays, and the first of it is told.
    fn replace(
        &mut self,
        text: &str,
        keeps: bool,
        depth: usize,
    ) -> Result<(String, Option<Unresolved>), Unresolved> {
        if depth > DEPTH_MAX {
            return Err(Unresolved("the references form a circle; write a value".to_string()));
        }
        let (mut out, mut rest, mut kept) = (String::new(), text, None);
        while let Some(at) = rest.find("${") {
            let (before, reference) = rest.split_at(at);
            // `$${` is how `${` is written.
            if let Some(before) = before.strip_suffix('$') {
                out.push_str(before);
                out.push_str("${");
                rest = &reference[2..];
                continue;
            }
            out.push_str(before);
            let Some(end) = closing_brace(reference) else {
                rest = reference;
                break;
            };
            match self.resolve(&reference[2..end], keeps, depth) {
                Ok(value) => out.push_str(&value),
                Err(why) if keeps => {
                    out.push_str(&reference[..=end]);
                    kept.get_or_insert(why);
                }
                Err(why) => return Err(why),
            }
            if out.len() > VALUE_BYTES_MAX {
                return Err(Unresolved(
                    "the references make it too long; write a value".to_string(),
                ));
            }
            rest = &reference[end + 1..];
        }
        out.push_str(rest);
        Ok((out, kept))
    }

    /// What stands for the inside of `${...}`.
    fn resolve(&mut self, inside: &str, keeps: bool, depth: usize) -> Result<String, Unresolved> {
        let (name, default) = split_default(inside);
        let (name, _) = self.replace(name, false, depth + 1)?;
        if let Some(value) = self.look_up(&name)? {
            return Ok(self.replace(&value, keeps, depth + 1)?.0);
        }
        if let Some(default) = default {
            return Ok(self.replace(default, keeps, depth + 1)?.0);
        }
        Err(Unresolved(match self.filter_of(&name) {
            Some((filter, key)) => format!("filter {filter} has no value for {key}; give it one"),
            None => {
                format!("${{{name}}} is not set; set it, or write a default: ${{{name}:-value}}")
            }
        }))
    }

    fn look_up(&mut self, name: &str) -> Result<Option<String>, Unresolved> {
        if let Some((filter, key)) = self.filter_of(name) {
            let Some(filter) = self.filters.get(filter) else {
                let lists = format!("{}.configfilters = {filter}", self.agent);
                return Err(Unresolved(format!("there is no filter {filter}; write {lists}")));
            };
            let value = filter.value(key, self.setting.variable).map_err(Unresolved)?;
            self.is_secret |= value.is_some();
            return Ok(value);
        }
        match name.split_once(':') {
            Some((prefix, key)) if prefix.eq_ignore_ascii_case("env") => {
                Ok((self.setting.variable)(key))
            }
            Some((prefix, key)) if prefix.eq_ignore_ascii_case("sys") => {
                Ok(self.setting.system(key))
            }
            Some((prefix, _)) => Err(Unresolved(format!(
                "${{{prefix}:...}} is not supported; env, sys and filters are"
            ))),
            None if self.setting.takes_bare_names() => Ok((self.setting.variable)(name)),
            None if name.starts_with(&format!("{}.", self.agent)) => Err(Unresolved(format!(
                "{name} is another property, to which a value cannot refer; write its value here"
            ))),
            None => Err(Unresolved(format!(
                "${{{name}}} is not a reference; write ${{env:{name}}} for a variable of the \
                 environment, \
                 or start with -DpropertiesImplementation={RESOLVER}"
            ))),
        }
    }

    /// `f1['KEY']`, `f1["KEY"]` or `f1[KEY]`: the filter and the key.
    fn filter_of<'t>(&self, name: &'t str) -> Option<(&'t str, &'t str)> {
        let (filter, rest) = name.split_once('[')?;
        let key = rest.strip_suffix(']')?;
        let quoted = |q: char| key.strip_prefix(q)?.strip_suffix(q);
        let key = quoted('\'').or_else(|| quoted('"')).unwrap_or(key);
        let is_word = |word: &str| {
            let of_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            !word.is_empty() && word.chars().all(of_word)
        };
        (is_word(filter) && is_word(key)).then_some((filter, key))
    }
}

/// Is it `...interceptors.NAME.value`, which goes into events as it stands?
fn is_text_of_a_header(key: &str) -> bool {
    let mut words = key.rsplit('.');
    words.next() == Some("value") && words.next().is_some() && words.next() == Some("interceptors")
}

/// Where the brace closes that `text` (which begins with `${`) opens.
fn closing_brace(text: &str) -> Option<usize> {
    let (bytes, mut open, mut at) = (text.as_bytes(), 0, 0);
    while at < bytes.len() {
        if bytes[at..].starts_with(b"${") {
            open += 1;
            at += 1;
        } else if bytes[at] == b'}' {
            open -= 1;
            if open == 0 {
                return Some(at);
            }
        }
        at += 1;
    }
    None
}

/// The name, and what stands behind `:-`, if it does, outside of inner references.
fn split_default(inside: &str) -> (&str, Option<&str>) {
    let (bytes, mut open) = (inside.as_bytes(), 0usize);
    for at in 0..bytes.len() {
        match bytes[at] {
            b'{' if at > 0 && bytes[at - 1] == b'$' => open += 1,
            b'}' => open = open.saturating_sub(1),
            b':' if open == 0 && bytes.get(at + 1) == Some(&b'-') => {
                return (&inside[..at], Some(&inside[at + 2..]));
            }
            _ => {}
        }
    }
    (inside, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::diagnostics::Severity;

    const KEY: &str = "a1.channels.c1.topic";
    const HEADER: &str = "a1.sources.r1.interceptors.i1.value";

    fn expand(key: &str, value: &str, system: &[(&str, &str)]) -> (String, Vec<String>) {
        let variable = |name: &str| {
            let all =
                [("STAGE", "prod"), ("NAME", "STAGE"), ("HOST", "h-${env:STAGE}"), ("EMPTY", "")];
            let more = [("LOOP", "${env:LOOP}"), ("HOME", "/home/f")];
            all.iter().chain(&more).find(|(n, _)| *n == name).map(|(_, v)| v.to_string())
        };
        let system: Vec<(String, String)> =
            system.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let setting = Setting { system: &system, variable: &variable };
        let filters = BTreeMap::from([("f1".to_string(), Filter::Environment)]);
        let mut found = Diagnostics::new("x.conf");
        let mut expander = Expander::new("a1", &setting, filters);
        let (text, _) = expander.expand(key, 3, value, &mut found);
        (text, found.into_list().into_iter().map(|d| told(d.severity, &d.message)).collect())
    }

    fn told(severity: Severity, message: &str) -> String {
        format!("{severity:?}: {message}")
    }

    #[test]
    fn references_are_replaced_as_flume_does() {
        for (value, want) in [
            ("plain $STAGE", "plain $STAGE"),
            ("${env:STAGE}-logs", "prod-logs"),
            ("${ENV:STAGE}${Env:STAGE}", "prodprod"),
            ("${env:NOT_SET:-dev}-logs", "dev-logs"),
            ("${env:NOT_SET:-}", ""),
            ("<${env:EMPTY:-x}>", "<>"),
            ("${env:${env:NAME}}", "prod"),
            ("${env:NOT_SET:-${env:STAGE}}", "prod"),
            ("${env:HOST}", "h-prod"),
            ("$${env:STAGE}", "${env:STAGE}"),
            ("${sys:user.home}", "/home/f"),
            ("${f1['STAGE']}|${f1[\"STAGE\"]}|${f1[STAGE]}", "prod|prod|prod"),
            ("open ${env:STAGE", "open ${env:STAGE"),
        ] {
            assert_eq!(expand(KEY, value, &[]), (want.to_string(), vec![]), "{value}");
        }
        assert_eq!(expand(KEY, "${sys:topic}", &[("topic", "a"), ("topic", "b")]).0, "b");
        let resolver = [("propertiesImplementation", RESOLVER)];
        assert_eq!(expand(KEY, "${STAGE}", &resolver).0, "prod");
    }

    #[test]
    fn what_is_not_there_is_an_error_that_names_it() {
        for (value, why) in [
            ("${env:NOT_SET}", "${env:NOT_SET} is not set"),
            ("${sys:x.y}", "${sys:x.y} is not set"),
            ("${STAGE}", "write ${env:STAGE}"),
            ("${a1.sources}", "a1.sources is another property"),
            ("${java:version}", "${java:...} is not supported"),
            ("${f1[NOT_SET]}", "filter f1 has no value for NOT_SET"),
            ("${f2['STAGE']}", "there is no filter f2; write a1.configfilters = f2"),
            ("${env:LOOP}", "form a circle"),
        ] {
            let (text, told) = expand(KEY, value, &[]);
            assert_eq!(text, value);
            assert!(told.len() == 1 && told[0].starts_with("Error: "), "{told:?}");
            assert!(told[0].contains(why), "{told:?}");
        }
    }

    #[test]
    fn in_the_value_of_a_header_it_stays_and_is_told() {
        let (text, told) = expand(HEADER, "$${env:STAGE} ${STAGE} $STAGE ${env:NOT_SET}", &[]);
        assert_eq!(text, "${env:STAGE} ${STAGE} $STAGE ${env:NOT_SET}");
        assert!(told.len() == 1 && told[0].starts_with("Warning: "), "{told:?}");
        assert_eq!(expand(HEADER, "${f1['X']} ${f2['STAGE']}", &[]).0, "${f1['X']} ${f2['STAGE']}");
    }
}
