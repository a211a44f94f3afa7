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

/// Runs a script of packaging/ on a program that is small, whatever it does. `None`, and said, where a
/// tool is missing, or it is not `make test` that runs: packing and lintian take their time.
fn package(script: &str, tool: &str, out: &Path) -> Option<PathBuf> {
    if std::env::var_os("FLUME_NG_PACKAGES").is_none() {
        eprintln!("packaging/{script} is tried with FLUME_NG_PACKAGES=1 only");
        return None;
    }
    if Command::new(tool).arg("--version").output().is_err() {
        eprintln!("{tool} is missing: packaging/{script} is not tried");
        return None;
    }
    let output = Command::new(path(script)).arg("/bin/true").arg(out).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    Some(PathBuf::from(printed.trim()))
}

fn words(program: &str, args: &[&std::ffi::OsStr]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_deb_is_whole_and_lintian_has_nothing_to_say() {
    let dir = crate::support::TempDir::new("deb");
    let Some(deb) = package("deb/build", "dpkg-deb", dir.path()) else { return };
    let field = |name: &str| {
        words("dpkg-deb", &["-f".as_ref(), deb.as_os_str(), name.as_ref()]).trim().to_string()
    };
    assert_eq!(field("Package"), "flume-ng");
    assert!(field("Version").starts_with(env!("CARGO_PKG_VERSION")));
    assert_eq!(field("Maintainer"), env!("CARGO_PKG_AUTHORS"));
    let files = words("dpkg-deb", &["-c".as_ref(), deb.as_os_str()]);
    for file in ["bin/flume-ng", "flume-ng.service", "changelog.gz", "flume.conf", "copyright"] {
        assert!(files.contains(file), "{file}: {files}");
    }
    let mut lintian = Command::new("lintian");
    match lintian.args(["--allow-root", "--fail-on", "error,warning"]).arg(&deb).output() {
        Ok(output) => assert!(output.status.success(), "{output:?}"),
        Err(e) => eprintln!("lintian: {e}: it is not asked"),
    }
}

#[test]
fn the_rpm_installs_into_a_root() {
    let dir = crate::support::TempDir::new("rpm");
    let Some(rpm) = package("rpm", "rpmbuild", dir.path()) else { return };
    let root = dir.path().join("root");
    std::fs::create_dir(&root).unwrap();
    let run = |args: &[&str]| {
        let mut command = Command::new("rpm");
        command.arg("--root").arg(&root).args(args);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    run(&["--initdb"]);
    run(&["-i", "--nodeps", "--noscripts", rpm.to_str().unwrap()]);
    assert_eq!(run(&["-q", "--qf", "%{VERSION}", "flume-ng"]), env!("CARGO_PKG_VERSION"));
    for file in ["usr/bin/flume-ng", "etc/flume-ng/flume.conf", "usr/share/doc/flume-ng/docs"] {
        assert!(root.join(file).exists(), "{file}");
    }
    let unit = std::fs::read_to_string(root.join("usr/lib/systemd/system/flume-ng.service"));
    assert!(unit.unwrap().contains("ExecStart=/usr/bin/flume-ng agent"));
    assert_eq!(run(&["-q", "-c", "flume-ng"]).trim(), "/etc/flume-ng/flume.conf");
    run(&["-e", "--nodeps", "--noscripts", "flume-ng"]);
    assert!(!root.join("usr/bin/flume-ng").exists());
}

/// Each crate that is in the program is in the list, with its license and checksum.
#[test]
fn the_list_of_what_is_in_it_is_that_of_cargo() {
    if Command::new("jq").arg("--version").output().is_err() {
        eprintln!("jq is missing: packaging/sbom is not tried");
        return;
    }
    let output = Command::new(path("sbom")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let list: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&list["bomFormat"], &list["specVersion"]), (&"CycloneDX".into(), &"1.5".into()));
    let components = list["components"].as_array().unwrap();
    let of = |name: &str| components.iter().find(|c| c["name"] == name);
    for name in ["rustix", "httparse", "kafka", "serde_json"] {
        let component = of(name).unwrap_or_else(|| panic!("{name} is missing"));
        assert_eq!(component["hashes"][0]["alg"], "SHA-256", "{name}");
        assert!(component["licenses"][0]["expression"].is_string(), "{name}");
    }
    // A crate of the tests is not in it.
    assert!(of("flume-ng").is_none() && components.len() > 50);
}
