//! Chromium without a window, and one page in it.
//!
//! With `--remote-debugging-pipe` it reads commands of its DevTools protocol from descriptor 3 and
//! writes answers and events to descriptor 4: JSON, each ended by a NUL.

use std::cell::RefCell;
use std::io::{BufRead as _, BufReader, PipeReader, PipeWriter, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::json::base64;
use crate::support::{TempDir, spawn, wait_for};

/// A browser on a loaded machine takes its time.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser; it ends when this value is dropped.
pub struct Browser {
    child: Child,
    to: RefCell<PipeWriter>,
    from: RefCell<BufReader<PipeReader>>,
    next: RefCell<u64>,
    session: String,
    _dir: TempDir,
}

impl Browser {
    /// With an empty page. `FLUME_NG_CHROMIUM` names another program than `chromium`.
    pub fn start() -> Browser {
        let dir = TempDir::new("chromium");
        let (own_from, its_to) = std::io::pipe().expect("a pipe");
        let (its_from, own_to) = std::io::pipe().expect("a pipe");
        let program = std::env::var_os("FLUME_NG_CHROMIUM").unwrap_or_else(|| "chromium".into());
        let mut command = Command::new(program);
        command.args([
            "--headless",
            "--remote-debugging-pipe",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-extensions",
            "--disable-background-networking",
            "--hide-scrollbars",
            "--no-first-run",
        ]);
        // SAFETY: geteuid has no preconditions.
        if unsafe { libc::geteuid() } == 0 {
            command.arg("--no-sandbox");
        }
        command.arg(format!("--user-data-dir={}", dir.path().display())).arg("about:blank");
        command.env("HOME", dir.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let (from, to) = (its_from.as_raw_fd(), its_to.as_raw_fd());
        // SAFETY: dup2 and fcntl are async-signal-safe; both pipes are open in the child.
        unsafe {
            command.pre_exec(move || {
                // Out of the way first: one of them may be 3 or 4 itself.
                let (from, to) =
                    (libc::fcntl(from, libc::F_DUPFD, 10), libc::fcntl(to, libc::F_DUPFD, 10));
                match libc::dup2(from, 3) == 3 && libc::dup2(to, 4) == 4 {
                    true => Ok(()),
                    false => Err(std::io::Error::last_os_error()),
                }
            });
        }
        let child = spawn(command).expect("chromium runs; on Debian: apt-get install chromium");
        drop((its_from, its_to));
        let mut browser = Browser {
            child,
            to: RefCell::new(own_to),
            from: RefCell::new(BufReader::new(own_from)),
            next: RefCell::new(1),
            session: String::new(),
            _dir: dir,
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", attach);
        browser.session = attached["sessionId"].as_str().expect("a session").to_string();
        browser.call("Page.enable", json!({}));
        browser
    }

    /// Calls a method of the protocol and waits for its answer; events are of no interest.
    fn call(&self, method: &str, params: Value) -> Value {
        let id = self.next.replace_with(|id| *id + 1);
        let mut message = json!({ "id": id, "method": method, "params": params });
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        let mut to = self.to.borrow_mut();
        to.write_all(format!("{message}\0").as_bytes()).expect("chromium listens");
        loop {
            let mut answer = Vec::new();
            self.from.borrow_mut().read_until(0, &mut answer).expect("chromium answers");
            assert_eq!(answer.pop(), Some(0), "chromium has ended");
            let answer: Value = serde_json::from_slice(&answer).expect("JSON");
            if answer["id"] == json!(id) {
                assert!(answer["error"].is_null(), "{method}: {answer}");
                return answer["result"].clone();
            }
        }
    }

    /// Goes there and waits until the page is whole.
    #[track_caller]
    pub fn open(&self, url: &str) {
        let went = wait_for(PATIENCE, || {
            self.call("Page.navigate", json!({ "url": url }))["errorText"].is_null()
        });
        assert!(went, "{url}");
        self.until(&format!(
            "document.readyState === 'complete' && location.href.startsWith({url:?})"
        ));
    }

    /// What an expression is in the page; `Null` where it throws.
    pub fn value(&self, expression: &str) -> Value {
        let params = json!({ "expression": expression, "returnByValue": true });
        self.call("Runtime.evaluate", params)["result"]["value"].clone()
    }

    pub fn text(&self, expression: &str) -> String {
        self.value(expression).as_str().unwrap_or_default().to_string()
    }

    /// Waits until it is true.
    #[track_caller]
    pub fn until(&self, expression: &str) {
        let is_met = wait_for(PATIENCE, || self.value(expression) == json!(true));
        assert!(is_met, "not met: {expression}\n{}", self.text("document.body.innerText"));
    }

    /// How wide and high its window is, in CSS pixels.
    pub fn resize(&self, width: u32, height: u32, is_phone: bool) {
        let scale = if is_phone { 2 } else { 1 };
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": scale, "mobile": is_phone });
        self.call("Emulation.setDeviceMetricsOverride", metrics);
    }

    pub fn prefer_dark(&self, is_dark: bool) {
        let value = if is_dark { "dark" } else { "light" };
        let features = json!([{ "name": "prefers-color-scheme", "value": value }]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    pub fn forbid_scripts(&self) {
        self.call("Emulation.setScriptExecutionDisabled", json!({ "value": true }));
    }

    /// All of the page as PNG.
    pub fn screenshot(&self, path: &Path) {
        let params = json!({ "format": "png", "captureBeyondViewport": true });
        let shot = self.call("Page.captureScreenshot", params);
        let bytes = base64(shot["data"].as_str().expect("an image"));
        assert!(bytes.starts_with(b"\x89PNG"));
        std::fs::write(path, bytes).expect("a file for the image");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
