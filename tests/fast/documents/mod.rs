//! The documents say nothing that the repository does not bear out: every test that they name
//! exists, every exit code of the program is in the README and every property a link away, its
//! quick start is a sound configuration, its Chinese sister names the same commands, every relative
//! link leads somewhere, the units start what the Makefile installs, and every import of src/ is one
//! that docs/design.md allows.

mod rooms;

use std::fs;
use std::path::{Path, PathBuf};

use flume_ng::config::known;
use flume_ng::exit::Exit;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The README and all of docs/, with their text.
fn documents() -> Vec<(PathBuf, String)> {
    let pages = ["README.md", "README.zh.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"];
    let mut paths: Vec<PathBuf> = pages.map(PathBuf::from).to_vec();
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        let name = entry.unwrap().file_name();
        paths.push(Path::new("docs").join(name));
    }
    paths.retain(|path| path.extension().is_some_and(|e| e == "md"));
    paths.into_iter().map(|path| (path.clone(), read(&path))).collect()
}

/// What stands between backticks, outside of blocks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().filter(|line| !line.starts_with("    "));
    lines.flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// Finds `name` (a few words with a test's name behind the last `::`) below the root.
fn has_test(file: &str, test: &str) -> bool {
    let at = [file.to_string(), format!("src/channel/{file}"), format!("src/checkpoint/{file}")];
    let Some(text) = at.iter().find_map(|path| fs::read_to_string(root().join(path)).ok()) else {
        return false;
    };
    text.contains(&format!("fn {test}(")) || text.contains(&format!("    {test} = \""))
}

#[test]
fn every_test_that_is_named_exists() {
    let mut named = 0;
    for (path, text) in documents() {
        for (file, test) in quoted(&text).filter_map(|q| q.split_once(".rs::")) {
            named += 1;
            let file = format!("{file}.rs");
            assert!(has_test(&file, test), "{}: there is no {file}::{test}", path.display());
        }
    }
    assert!(named > 50, "{named}");
}

#[test]
fn every_file_that_is_named_exists() {
    for (path, text) in documents() {
        let dir = path.parent().unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if !target.contains("://") {
                assert!(root().join(dir).join(target).exists(), "{}: {target}", path.display());
            }
        }
        let starts = ["tests/", "src/", "docs/", "packaging/"];
        for quote in quoted(&text).filter(|q| starts.iter().any(|s| q.starts_with(s))) {
            let file = quote.split("::").next().unwrap();
            assert!(root().join(file).exists(), "{}: {quote}", path.display());
        }
    }
}

/// The first block of the README that is a configuration, as a newcomer copies it.
fn quick_start() -> String {
    let readme = read("README.md");
    let block = readme.split("```properties\n").nth(1).expect("a configuration in the README");
    block.split("```").next().unwrap_or_default().to_string()
}

#[test]
fn the_quick_start_is_a_configuration_without_a_fault() {
    let path = std::env::temp_dir().join(format!("flume-ng-readme-{}.conf", std::process::id()));
    fs::write(&path, quick_start()).unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_flume-ng"))
        .args(["agent", "--name", "a1", "--dryrun", "--conf-file"])
        .arg(&path)
        .output()
        .unwrap();
    fs::remove_file(&path).unwrap();
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && !log.contains("WARN"), "{log}");
    assert_eq!(quick_start().lines().count(), 10);
}

/// Figures are copied from the measurements, and stay behind them by no run.
#[test]
fn the_readme_has_the_figures_of_the_measurements() {
    let (readme, bench) = (read("README.md"), read("docs/bench.md"));
    let mut figures = 0;
    let table =
        readme.split("## Beside others").nth(1).unwrap().split("\n\nCompared").next().unwrap();
    for row in table.lines().filter(|row| row.starts_with("| ") && !row.contains("not measured")) {
        for cell in row.split(" | ").skip(2).map(|cell| cell.trim_end_matches(" |").trim()) {
            if cell.starts_with(|c: char| c.is_ascii_digit()) {
                figures += 1;
                assert!(bench.contains(&format!("| {cell} |")), "{cell} is not in docs/bench.md");
            }
        }
    }
    assert_eq!(figures, 8);
}

/// Every command line in a block, and every link.
fn commands_and_links(text: &str) -> (Vec<&str>, Vec<&str>) {
    let starts = ["cargo ", "make ", "mkdir ", "cp ", "flume-ng ", "* * * * * "];
    let is_command = |line: &&str| starts.iter().any(|start| line.starts_with(start));
    let indented = text.lines().filter_map(|line| line.strip_prefix("    "));
    // What stands behind two blanks explains the command.
    let commands = indented.filter(is_command).filter_map(|line| line.split("  ").next());
    let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    (commands.collect(), links.filter(|link| !link.starts_with("README")).collect())
}

#[test]
fn the_chinese_readme_names_the_same_commands_and_links() {
    let (english, chinese) = (read("README.md"), read("README.zh.md"));
    let (commands, links) = commands_and_links(&english);
    assert!(commands.len() > 15 && links.len() > 15, "{commands:?} {links:?}");
    assert_eq!((commands, links), commands_and_links(&chinese));
    let conf = |text: &str| text.split("```").nth(1).unwrap().to_string();
    assert_eq!(conf(&english), conf(&chinese));
}

/// The reference of properties is one page; the README leads there.
#[test]
fn the_readme_leads_to_every_property() {
    assert!(read("README.md").contains("(docs/properties.md)"));
    let page = read("docs/properties.md");
    for row in known::markdown().lines().filter(|row| row.starts_with("| `")) {
        assert!(page.contains(row), "docs/properties.md lacks {row}");
    }
}

#[test]
fn the_readme_has_every_exit_code() {
    let readme = read("README.md");
    for exit in [
        Exit::Clean,
        Exit::Difference,
        Exit::Usage,
        Exit::BrokenPromise,
        Exit::Temporary,
        Exit::Configuration,
    ] {
        let row = format!("\n| {} | ", exit.code());
        assert!(readme.contains(&row), "README.md: exit code {} is not there", exit.code());
    }
}

#[test]
fn the_units_run_the_installed_program_and_know_its_codes() {
    let permanent = [Exit::Usage, Exit::BrokenPromise, Exit::Configuration];
    let codes: Vec<String> = permanent.iter().map(|exit| exit.code().to_string()).collect();
    for unit in ["packaging/flume-ng.service", "packaging/flume-ng-hardened.service"] {
        let text = read(unit);
        assert!(text.contains("\nExecStart=/usr/local/bin/flume-ng agent "), "{unit}");
        let line = format!("\nRestartPreventExitStatus={}\n", codes.join(" "));
        assert!(text.contains(&line), "{unit}");
    }
    assert!(read("Makefile").contains("PREFIX ?= /usr/local\n"));
    // cron looks into /usr/bin and /bin only; the line is the same everywhere.
    let line = |file: &str| {
        let text = read(file);
        let line = text.lines().find(|line| line.trim_start().starts_with("* * * * * ")).unwrap();
        line.trim().to_string()
    };
    let of_cron = line("packaging/crontab");
    assert!(of_cron.contains(" exec /usr/local/bin/flume-ng agent "), "{of_cron}");
    assert_eq!([line("README.md"), line("README.zh.md")], [of_cron.clone(), of_cron]);
}

/// dpkg shows one line of it in every list.
#[test]
fn the_package_says_in_one_line_what_it_is() {
    let manifest = read("Cargo.toml");
    let line = manifest.lines().find_map(|line| line.strip_prefix("description = ")).unwrap();
    assert!(line.trim_matches('"').len() <= 79 - "flume-ng - ".len(), "{line}");
}

/// Positions and lines that were not sent outlive the package; scripts that dpkg runs as root are
/// at least shell.
#[test]
fn a_purge_keeps_positions_and_unsent_files() {
    for script in ["postinst", "prerm", "postrm"] {
        let path = root().join("packaging/deb").join(script);
        let status = std::process::Command::new("sh").arg("-n").arg(&path).status().unwrap();
        assert!(status.success(), "{script}");
        let text = read(path);
        assert!(!text.contains("#DEBHELPER#"), "{script}: nobody replaces it");
        let deletes = text.lines().filter(|line| line.contains("rm -r"));
        assert!(deletes.into_iter().all(|line| !line.contains("/var/lib")), "{script}");
    }
}
