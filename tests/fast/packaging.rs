//! What is shipped beside the program says what is so: rules that Prometheus takes, probes and ports that
//! there are, names of the same files. (Which metrics there are: `src/monitor/exposition.rs`.)

use std::path::{Path, PathBuf};
use std::process::Command;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// By Prometheus's own program, where it can be had.
#[test]
fn prometheus_takes_the_rules() {
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "rules"]).arg(path("prometheus/flume-ng.rules.yml"));
    match promtool.output() {
        Ok(output) => assert!(output.status.success(), "{output:?}"),
        Err(e) => eprintln!("promtool: {e}: the rules are not looked at by it"),
    }
}

#[test]
fn manifests_ask_for_what_is_served() {
    for name in ["kubernetes/sidecar.yaml", "kubernetes/daemonset.yaml"] {
        let text = read(name);
        let words = [
            "httpGet: { path: /healthz, port: monitoring }",
            "httpGet: { path: /readyz, port: monitoring }",
            "containerPort: 41414",
            "prometheus.io/path: /prometheus",
            "mountPath: /etc/flume-ng",
            "runAsNonRoot: true",
        ];
        words.iter().for_each(|word| assert!(text.contains(word), "{name}: {word}"));
        assert!(!text.contains('\t'), "{name}");
    }
    let container = read("container/Containerfile");
    assert!(container.contains("\nFROM scratch\n") && container.contains("\nUSER 65532:65532\n"));
    assert!(container.contains("EXPOSE 41414") && container.contains("/etc/flume-ng/flume.conf"));
}

/// The configuration of the manifest is one that an agent starts with.
#[test]
fn the_configuration_of_the_manifest_is_sound() {
    let manifest = read("kubernetes/sidecar.yaml");
    let conf = manifest.split("flume.conf: |\n").nth(1).and_then(|rest| rest.split("---").next());
    let conf: String =
        conf.unwrap().lines().map(|line| format!("{}\n", line.trim_start())).collect();
    let dir = crate::support::TempDir::new("manifest");
    let path = dir.path().join("flume.conf");
    std::fs::write(&path, conf).unwrap();
    let loaded = flume_ng::config::load(&path, "a1");
    assert!(loaded.is_ok(), "{:?}", loaded.err().map(|found| found.len()));
}
