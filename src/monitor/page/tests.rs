use std::time::Duration;

use super::*;
use crate::channel::standing::{Standing, State};
use crate::checkpoint::receipt::ReceiptRange;
use crate::checkpoint::record::ChannelRecord;
use crate::monitor::rates::Rate;
use crate::monitor::{Apart, health};

fn stats() -> Stats {
    let file = FileView { name: "a".into(), size: 100, position: 100, ..FileView::default() };
    let source = SourceStats { started: true, files: vec![file], ..SourceStats::default() };
    Stats { agent: "a1".into(), sources: vec![source], ..Stats::default() }
}

/// Everything that has a name, with this one.
fn named(name: &str) -> Stats {
    let mut stats = stats();
    stats.agent = name.into();
    stats.now = name.into();
    stats.conf.file = name.into();
    stats.warnings = vec![name.into()];
    let source = &mut stats.sources[0];
    (source.name, source.spool_dir) = (name.into(), name.into());
    source.files[0].name = name.into();
    source.fault = Some(name.into());
    source.apart = vec![Apart { why: name.into(), since: Some(name.into()) }];
    source.troubles =
        vec![Trouble::Brokers { channel: name.into(), since_ms: 0, why: name.into() }];
    let partition = PartitionRecord { partition: 7, ..PartitionRecord::default() };
    source.channels.push(ChannelRecord {
        name: name.into(),
        topic: name.into(),
        partitions: vec![partition],
        ..ChannelRecord::default()
    });
    let certificate = Summary { subject: name.into(), issuer: name.into(), not_after: 0 };
    let last_error = Some((name.to_string(), Duration::from_secs(5)));
    source.links.push(LinkStats {
        brokers: vec![Standing {
            address: name.into(),
            state: State::Failed,
            last_error,
            certificate: Some(certificate.clone()),
        }],
        leaders: vec![Some(name.into())],
        trips: vec![Some((1.0, 2.0))],
        own_certificate: Some(certificate),
    });
    let range = ReceiptRange { topic: name.into(), ..ReceiptRange::default() };
    let ranges = vec![range];
    source.finished = vec![Receipt { name: name.into(), ranges, ..Receipt::default() }];
    source.dead_letters = Some(1);
    source.letters = vec![Letter {
        state: crate::checkpoint::dead_letter::State::Unsettled,
        head_at: 0,
        time_ms: 0,
        topic: name.into(),
        partition: 0,
        file: name.into(),
        names_from: Vec::new(),
        start: 0,
        end: 1,
        is_giant: false,
        reason: name.into(),
        key: None,
        headers: Vec::new(),
        is_short: false,
        at: 0,
        bytes: 1,
    }];
    stats
}

/// Whoever can name a file, or a topic, must not be able to write the page.
#[test]
fn hostile_names_are_text() {
    let hostile = "</td><script>alert('1')</script>\"&\u{202e}gol\u{7}";
    let page = page(&named(hostile));
    assert_eq!(page.matches("<script>").count(), 1, "our own");
    assert!(!page.contains("alert('1')") && !page.contains('\u{202e}') && !page.contains('\u{7}'));
    let escaped = page.matches("&lt;script&gt;alert(&#39;1&#39;)").count();
    assert!(escaped >= 21, "{escaped}");
}

/// Where the script looks for a value there is one, and a format for it.
#[test]
fn every_value_that_the_script_keeps_is_in_the_status() {
    let stats = named("x");
    let page = page(&stats);
    let status: serde_json::Value = serde_json::from_str(&health::status_json(&stats)).unwrap();
    let mut paths = 0;
    for element in page.split("data-j=\"").skip(1) {
        let path = element.split('"').next().unwrap();
        let mut at = &status;
        for key in path.split('.') {
            at = match key.parse::<usize>() {
                Ok(index) => &at[index],
                Err(_) => at.get(key).unwrap_or_else(|| panic!("{path}: no {key}")),
            };
        }
        if let Some(format) =
            element.split("data-f=\"").nth(1).and_then(|rest| rest.split('"').next())
        {
            assert!(is_format(format), "page.js has no format {format}");
        }
        paths += 1;
    }
    assert!(paths > 25, "{paths}");
}

fn is_format(format: &str) -> bool {
    let script = include_str!("page.js");
    let formats = script.split("const formats = {").nth(1).unwrap();
    [format!(" {format}:"), format!(" {format},")].iter().any(|word| formats.contains(word))
}

#[test]
fn thousands_of_files_are_a_page_of_bounded_length() {
    let mut stats = stats();
    let file = stats.sources[0].files[0].clone();
    stats.sources[0].files = vec![file; 20_000];
    let curve = (0..120).map(|n| Rate { lines_per_s: f64::from(n), bytes_per_s: 0.0 });
    stats.sources[0].curve = curve.collect();
    let page = page(&stats);
    assert!(page.contains("and 19,500 more files"));
    assert!(page.len() < 500_000, "{}", page.len());
    assert!(page.contains("<polyline points=\"0.0,59.0 "), "{page}");
}

/// A certificate that ends soon is told from one that does not.
#[test]
fn certificates_say_how_long_they_hold() {
    let mut stats = named("CN=x");
    for (days, words) in [
        (-1, "CN=x: <span class=\"bad\">has expired</span>"),
        (1, "CN=x: <span class=\"bad\">1 day left</span>"),
        (30, "CN=x: 30 days left"),
    ] {
        let shown = &mut stats.sources[0].links[0];
        let ends = |shown: &mut Option<Summary>| {
            shown.as_mut().unwrap().not_after = days * 86_400;
        };
        ends(&mut shown.brokers[0].certificate);
        ends(&mut shown.own_certificate);
        let page = page(&stats);
        assert!(page.contains(&format!("<td>{words}</td>")), "{page}");
        assert!(page.contains(&format!("<p>Own certificate: {words}</p>")), "{page}");
        let status: serde_json::Value = serde_json::from_str(&health::status_json(&stats)).unwrap();
        let channel = &status["sources"][0]["channels"][0];
        assert_eq!(channel["brokers"][0]["certificate"]["days_left"], days);
        assert_eq!(channel["own_certificate"]["ends_ms"], days * 86_400_000);
    }
}

#[test]
fn the_shape_is_that_of_the_rows() {
    let (mut one, two) = (named("x"), named("x"));
    assert_eq!(shape(&one), shape(&two));
    one.sources[0].files[0].position = 3;
    assert_eq!(shape(&one), shape(&two));
    one.sources[0].files[0].name = "y".into();
    assert_ne!(shape(&one), shape(&two));
}
