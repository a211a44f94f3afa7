//! The page of the monitoring port in a real browser, which is driven over its own protocol, through a pipe: no other
//! program and no crate is needed. What a person sees in each state, what a hostile name can do, and how it fits a phone.

mod browser;

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::support::proxy::Proxy;
use crate::support::torture::lines;
use crate::support::{Agent, Topic, Work, fresh_name, shared};
use browser::Browser;

const PATIENCE: Duration = Duration::from_secs(60);

const VERDICT: &str = "document.querySelector('h1').innerText";
/// All that can be read.
const ALL: &str = "document.body.innerText";

fn start(work: &Work) -> (Agent, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let mut command = work.command();
    command.args(["-Dflume.monitoring.type=http", &format!("-Dflume.monitoring.port={port}")]);
    (work.start_command(command), format!("http://127.0.0.1:{port}/"))
}

fn fresh(label: &str) -> (Topic, Work) {
    let topic = shared("4.3.1").fresh_topic(label, 2);
    let work = Work::new(&topic);
    (topic, work)
}

fn says(browser: &Browser, expression: &str, words: &[&str]) {
    for word in words {
        browser.until(&format!("{expression}.includes({word:?})"));
    }
}

/// Nothing stands out of the window, whatever its width.
#[track_caller]
fn assert_fits(browser: &Browser) {
    let widths = browser.value("[document.documentElement.scrollWidth, window.innerWidth]");
    let (page, window) = (widths[0].as_u64().unwrap(), widths[1].as_u64().unwrap());
    assert!(page <= window, "{page} pixels in a window of {window}");
}

#[test]
fn caught_up_and_followed_each_second() {
    let (topic, work) = fresh("page-caught-up");
    let work = work.set("a1.sources.r1.retireGraceMs", 100).file(
        "010_{H-2}.log",
        &lines("a", 0, 1_000),
        7_200,
    );
    let work = work.file("010_{H}.log", &lines("b", 0, 10), 0);
    let (mut agent, url) = start(&work);
    agent.expect_records(&topic, 1_010, PATIENCE);
    agent.expect("all of it is committed", PATIENCE, || work.is_committed());
    let browser = Browser::start();
    browser.open(&url);
    says(&browser, VERDICT, &["caught up"]);
    browser.until("document.querySelector('h1').className === 'good'");
    let facts = ["agent", "a1", "up", "CPU for each line", "memory", "MB", "log010.conf"];
    says(&browser, ALL, &facts);
    let (live, done) = (work.name("010_{H}.log"), work.name("010_{H-2}.log"));
    let address = topic.bootstrap();
    let rows = ["lines/s", "last offset", "round trip p50", &live, "Finished last", &done, address];
    says(&browser, ALL, &rows);
    says(&browser, ALL, &["connected", "No warnings", &format!("{}/0: ", topic.name())]);
    // It follows without being loaded anew.
    browser.value("window.marker = 1");
    browser.until("document.querySelector('svg') !== null");
    work.append("010_{H}.log", &lines("b", 10, 1_344));
    says(&browser, ALL, &["1,344"]);
    says(&browser, VERDICT, &["caught up"]);
    assert_eq!(browser.value("window.marker"), json!(1));
    let followed = "performance.getEntriesByType('resource').filter(e => e.name.endsWith('/status.json')).length > 2";
    browser.until(followed);
    // Half a line waits for its writer, and for nobody else.
    work.append("010_{H}.log", b"half a line");
    says(&browser, ALL, &["live, half a line"]);
    says(&browser, VERDICT, &["caught up"]);
    assert_eq!(agent.term().code(), Some(0));
    says(&browser, VERDICT, &["no answer"]);
}

#[test]
fn behind_a_slow_link_it_says_how_far() {
    let (proxy, brokers) = Proxy::to_shared("4.3.1");
    let topic = brokers.create_topic("page-behind", 1);
    proxy.slow_down(100_000);
    let work = Work::new(&topic).file("010_{H}.log", &lines("a", 0, 100_000), 0);
    let (mut agent, url) = start(&work);
    let browser = Browser::start();
    browser.open(&url);
    says(&browser, VERDICT, &["delivering", " behind", "MB"]);
    says(&browser, VERDICT, &["to catch up"]);
    let bar = "(bar => bar.value / bar.max)(document.querySelector('progress'))";
    browser.until(&format!("{bar} > 0 && {bar} < 1"));
    assert!(agent.is_running());
}

#[test]
fn a_broker_that_is_down_is_named() {
    let (_, work) = fresh("page-down");
    let work =
        work.set("a1.channels.c1.brokerList", "127.0.0.1:1").file("010_{H}.log", b"one\n", 0);
    let (_agent, url) = start(&work);
    let browser = Browser::start();
    // A browser that runs no scripts loads the page again by itself.
    browser.forbid_scripts();
    browser.open(&url);
    says(&browser, VERDICT, &["waiting for Kafka: ", "127.0.0.1:1", "refused", ", since "]);
    browser.until("document.querySelector('h1').className === 'wait'");
    says(&browser, ALL, &["4 B", "failed", "Next try in"]);
    work.append("010_{H}.log", b"two\n");
    says(&browser, ALL, &["8 B"]);
}

#[test]
fn dead_letters_are_shown_with_their_reasons() {
    // From its first moment: a topic that is there takes such a change some time after the answer.
    let settings = [("max.message.bytes", "2000")];
    let topic = shared("4.3.1").create_topic_with(&fresh_name("page-letters"), 2, 1, &settings);
    let long = [vec![b'x'; 5_000], b"\nshort\n".to_vec()].concat();
    let work = Work::new(&topic).set("a1.sources.r1.deserializer.maxLineLength", 10_000).file(
        "010_{H}.log",
        &long,
        0,
    );
    let (mut agent, url) = start(&work);
    agent.expect_records(&topic, 1, PATIENCE);
    let browser = Browser::start();
    browser.open(&url);
    says(&browser, VERDICT, &["needs attention: 1 dead letter"]);
    browser.until("document.querySelector('h1').className === 'bad'");
    says(&browser, ALL, &["Dead letters", "0 to 5001", topic.name()]);
}

/// File names of any kind, hundreds of them, on a phone, by night.
#[test]
fn hundreds_of_files_with_hostile_names_on_a_phone() {
    let (_, work) = fresh("page-hostile");
    let mut work = work.set("a1.channels.c1.brokerList", "127.0.0.1:1");
    let hostile = [
        "<img src=x onerror=document.title='hacked'>{H-3}",
        "<script>document.title='hacked'<&script>{H-3}",
        "\"'><b id=hacked>{H-3}",
        "\u{202e}gol.{H-3}",
        "a\nb\tc{H-3}",
        "&lt;b&gt;{H-3}",
    ];
    for name in hostile {
        work = work.file(name, b"one\n", 10_000);
    }
    for n in 0..495 {
        work = work.file(&format!("{n}_{{H-3}}"), b"one\n", 10_000);
    }
    let long = format!("{}{{H-3}}", "w".repeat(200));
    work = work.file(&long, b"one\n", 10_000);
    let (_agent, url) = start(&work);
    let browser = Browser::start();
    browser.resize(360, 740, true);
    browser.prefer_dark(true);
    browser.open(&url);
    says(
        &browser,
        ALL,
        &["waiting for Kafka", "and 1 more file", &work.name("<img src=x {H-3}")[..10]],
    );
    browser.until("document.querySelectorAll('progress').length === 500");
    browser.until(
        "performance.getEntriesByType('resource').some(e => e.name.endsWith('/status.json'))",
    );
    assert_eq!(browser.value("document.querySelectorAll('#hacked, img').length"), json!(0));
    assert_ne!(browser.text("document.title"), "hacked");
    assert_fits(&browser);
    let paper = |browser: &Browser| browser.text("getComputedStyle(document.body).backgroundColor");
    assert_eq!(paper(&browser), "rgb(20, 23, 26)");
    browser.prefer_dark(false);
    assert_eq!(paper(&browser), "rgb(255, 255, 255)");
    browser.resize(1_200, 800, false);
    assert_fits(&browser);
    // A verdict can be read at a glance, and on its left is its colour.
    let border = browser.text("getComputedStyle(document.querySelector('h1')).borderLeftColor");
    assert_eq!(border, "rgb(176, 106, 0)");
}

#[test]
fn it_can_be_switched_off() {
    let (_, work) = fresh("page-off");
    let work = work.set("a1.monitoring.page", "false").file("010_{H}.log", b"one\n", 0);
    let (_agent, url) = start(&work);
    let browser = Browser::start();
    browser.open(&url);
    let line = "For Flume metrics please click here.";
    assert_eq!(browser.text("document.body.innerText").trim(), line);
}

/// `make screenshot`: docs/page.png, of an agent that delivers lines for a minute.
#[test]
#[ignore = "make screenshot"]
fn screenshot() {
    let (topic, work) = fresh("filetest10");
    let work = work
        .set("a1.sources.r1.retireGraceMs", 100)
        .file("010_{H-2}.log", &lines("a", 0, 2_000), 7_200)
        .file("010_{H-1}.log", &lines("b", 0, 1_500), 3_600)
        .file("010_{H}.log", &lines("c", 0, 10), 0);
    let (mut agent, url) = start(&work);
    let mut written = 10;
    for second in 0..60 {
        let more = 400 + 300 * (second % 20).min(20 - second % 20);
        work.append("010_{H}.log", &lines("c", written, written + more));
        written += more;
        std::thread::sleep(Duration::from_secs(1));
    }
    agent.expect_records(&topic, 3_500 + written as usize, PATIENCE);
    let browser = Browser::start();
    browser.resize(1_100, 800, false);
    browser.open(&url);
    says(&browser, VERDICT, &["caught up"]);
    browser.screenshot(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/page.png"));
}
