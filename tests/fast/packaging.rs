//! What is shipped beside the program says what is so: rules that Prometheus takes, probes and ports that
//! there are, names of the same files. (Which metrics there are: `src/monitor/exposition.rs`.)

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::planted::Site;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(name)
}

fn read(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// By Prometheus's own program, where it can be had: the rules are sound, and each alert comes when it
/// should and not while all is well.
#[test]
fn prometheus_takes_the_rules() {
    let rules = "packaging/prometheus/flume-ng.rules.yml";
    for args in [["check", "rules", rules], ["test", "rules", "tests/data/alerts.test.yml"]] {
        let mut promtool = Command::new("promtool");
        promtool.args(args).current_dir(env!("CARGO_MANIFEST_DIR"));
        match promtool.output() {
            Ok(output) => assert!(output.status.success(), "{output:?}"),
            Err(e) => {
                eprintln!("packaging::prometheus_takes_the_rules is left out: promtool: {e}");
            }
        }
    }
}

/// As systemd judges it, where it is there: 0 is nothing, 10 everything. (That it delivers under these:
/// `tests/kafka/service.rs`.)
#[test]
fn the_hardened_unit_leaves_little_exposed() {
    const TENTHS_MAX: u32 = 13;
    let unit = path("flume-ng-hardened.service");
    let mut analyze = Command::new("systemd-analyze");
    analyze.args(["security", "--offline=true", "--no-pager"]).arg(unit);
    let said = match analyze.output() {
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(e) => return eprintln!("systemd-analyze: {e}: the unit is not judged"),
    };
    // Before 250 it judges no files.
    let Some(rest) = said.split("Overall exposure level for ").nth(1) else {
        return eprintln!("systemd-analyze judges no files: {said}");
    };
    let level: String = rest.split(": ").nth(1).unwrap_or_default().chars().take(3).collect();
    let tenths = level.replace('.', "").trim().parse::<u32>().expect(rest);
    assert!(tenths <= TENTHS_MAX, "{said}");
}

/// `check` asks whether anything is wrong, and much that is wrong stops no agent: a unit that left the answer
/// to it would leave the files alone while one of several brokers is down.
#[test]
fn no_unit_keeps_an_agent_from_its_start_by_a_check() {
    for name in ["flume-ng.service", "flume-ng-hardened.service"] {
        let unit = read(name);
        let before: Vec<&str> =
            unit.lines().filter_map(|line| line.strip_prefix("ExecStartPre=")).collect();
        assert!(!before.is_empty(), "{name}: nothing tells the journal what is wrong");
        assert!(before.iter().all(|command| command.starts_with('-')), "{name}: {before:?}");
        // What it must not be started again for, it says itself.
        assert!(unit.contains("\nRestartPreventExitStatus=2 70 78\n"), "{name}");
    }
}

/// The hardened unit has a umask that leaves nothing to others; who collects the metrics is another user.
#[test]
fn metrics_can_be_read_by_others_under_the_umask_of_the_hardened_unit() {
    let unit = read("flume-ng-hardened.service");
    let umask = unit.lines().find_map(|line| line.strip_prefix("UMask=")).unwrap();
    let site = Site::new("umask", "tracker", "a1.monitoring.textfile = a1.prom\n");
    let agent = site.command(&["agent", "--once", "--timeout", "1"]);
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("umask {umask}; exec \"$@\""), "sh"]).arg(agent.get_program());
    let output = shell.args(agent.get_args()).current_dir(site.path("")).output().unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&site.path("a1.prom")), 0o644, "{output:?}");
    assert_eq!(mode(&site.path("tracker")), 0o700);
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

/// A limit that what is rare but needed goes beyond is found after the state was lost, again and again.
#[test]
fn the_limits_of_memory_leave_room_for_the_table_of_a_topic_that_is_read_back() {
    let rebuild = include_str!("../../src/pipeline/rebuild/mod.rs");
    let table = rebuild.split("const TABLE_BYTES: usize = ").nth(1).unwrap();
    let (table, _) = table.split_once(" << 20;").expect("MiB");
    let table: u32 = table.parse().unwrap();
    for (name, before, unit) in [
        ("kubernetes/sidecar.yaml", "limits: { memory: ", "Mi }"),
        ("kubernetes/daemonset.yaml", "limits: { memory: ", "Mi }"),
        ("flume-ng-hardened.service", "\nMemoryMax=", "M\n"),
    ] {
        let text = read(name);
        let limit = text.split(before).nth(1).and_then(|rest| rest.split(unit).next()).unwrap();
        assert!(limit.parse::<u32>().unwrap() >= 2 * table, "{name}: {limit}");
    }
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

/// Whether it is `make test` that runs and the tools are there; if not, it says which test is left out:
/// packing, lintian and images take their time.
fn can(test: &str, tools: &[&str]) -> bool {
    let asks = std::env::var_os("FLUME_NG_PACKAGES").is_some();
    let lacks = |tool: &&&str| Command::new(tool).arg("--version").output().is_err();
    match tools.iter().find(lacks) {
        _ if !asks => eprintln!("packaging::{test} is left out: FLUME_NG_PACKAGES is not set"),
        Some(tool) => eprintln!("packaging::{test} is left out: there is no {tool}"),
        None => return true,
    }
    false
}

/// Runs a script of packaging/ on the program of the tests.
fn package(script: &str, out: &Path) -> PathBuf {
    let program = env!("CARGO_BIN_EXE_flume-ng");
    let output = Command::new(path(script)).arg(program).arg(out).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    PathBuf::from(printed.trim())
}

fn words(program: &str, args: &[&std::ffi::OsStr]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_deb_is_whole_and_lintian_has_nothing_to_say() {
    if !can("the_deb_is_whole_and_lintian_has_nothing_to_say", &["dpkg-deb", "strip"]) {
        return;
    }
    let dir = crate::support::TempDir::new("deb");
    let deb = package("deb/build", dir.path());
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
    if !can("the_rpm_installs_into_a_root", &["rpmbuild", "rpm"]) {
        return;
    }
    let dir = crate::support::TempDir::new("rpm");
    let rpm = package("rpm", dir.path());
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

/// By podman or buildah, with a store of its own. Run is what is in it where it is the program of
/// `make static`: any other one lacks its libraries there.
#[test]
fn the_image_holds_the_program_and_runs_it() {
    const TEST: &str = "the_image_holds_the_program_and_runs_it";
    let is_there = |tool: &&str| Command::new(tool).arg("--version").output().is_ok();
    let tool = ["buildah", "podman"].into_iter().find(is_there).unwrap_or("buildah or podman");
    if !can(TEST, &[tool]) {
        return;
    }
    let dir = crate::support::TempDir::new("image");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let fixed = root.join("target/x86_64-unknown-linux-musl/release/flume-ng");
    let program = if fixed.exists() { &*fixed } else { Path::new(env!("CARGO_BIN_EXE_flume-ng")) };
    std::fs::copy(program, dir.path().join("flume-ng")).unwrap();
    let run = |args: &[&str]| {
        let mut command = Command::new(tool);
        let store = |name: &str| dir.path().join(name);
        command.arg("--root").arg(store("root")).arg("--runroot").arg(store("run"));
        let output = command.args(["--storage-driver", "vfs"]).args(args).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).trim().to_string();
        output.status.success().then_some(said).ok_or(format!("{args:?}: {output:?}"))
    };
    let file = path("container/Containerfile").display().to_string();
    let build = ["build", "-f", &file, "-t", "flume-ng", "--isolation", "chroot"];
    let context = dir.path().display().to_string();
    let built = run(&[&build[..], &["--build-arg", "PROGRAM=flume-ng", &context]].concat());
    if let Err(why) = built {
        // Namespaces and mounts are not everybody's. What is wrong with the file would be said by name.
        assert!(!why.contains("STEP") && !why.contains("Containerfile"), "{why}");
        return eprintln!("packaging::{TEST} is left out: {why}");
    }
    let about = run(&["inspect", "--type", "image", "flume-ng"]).unwrap();
    for word in ["65532:65532", "41414/tcp", "\"/flume-ng\""] {
        assert!(about.contains(word), "{word}: {about}");
    }
    if tool == "buildah" && fixed.exists() {
        let container = run(&["from", "flume-ng"]).unwrap();
        let run_it = ["run", "--isolation", "chroot", &container, "--", "/flume-ng", "version"];
        assert!(run(&run_it).unwrap().contains(env!("CARGO_PKG_VERSION")));
    }
}

/// As under `sudo` after an installation of Rust for one user.
#[test]
fn where_cargo_is_not_found_what_was_built_is_installed() {
    let dir = crate::support::TempDir::new("install");
    let program = dir.path().join("release/flume-ng");
    let install = || {
        let mut make = Command::new("make");
        make.env_remove("MAKEFLAGS").env_remove("MAKELEVEL").current_dir(path(".."));
        make.args(["-s", "install", "CARGO=/nowhere/cargo", "PREFIX=/usr"]);
        make.arg(format!("DESTDIR={}/root", dir.path().display()));
        make.arg(format!("CARGO_TARGET_DIR={}", dir.path().display())).output()
    };
    let Ok(output) = install() else {
        return eprintln!("make is missing: its installation is not tried");
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("run make first"), "{said}");
    std::fs::create_dir(dir.path().join("release")).unwrap();
    std::fs::copy("/bin/true", &program).unwrap();
    let output = install().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(dir.path().join("root/usr/bin/flume-ng").exists());
    // Of older sources.
    let old = std::fs::File::options().write(true).open(&program).unwrap();
    old.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1)).unwrap();
    assert!(!install().unwrap().status.success());
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
