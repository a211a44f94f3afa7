//! `cargo bench --bench micro`: what each step of a line's way costs.

#[path = "../tests/bench/data.rs"]
#[allow(dead_code)]
mod data;
#[path = "../tests/bench/micro.rs"]
mod micro;
#[path = "../tests/bench/stats.rs"]
#[allow(dead_code)]
mod stats;
#[path = "../tests/support/mod.rs"]
mod support;

fn main() {
    println!("{:>10}  {:>14}  step", "ns/line", "lines/s");
    for micro::Row { label, ns, is_per_round } in micro::run() {
        let lines_per_s = if is_per_round { String::new() } else { stats::thousands(1e9 / ns) };
        println!("{:>10}  {lines_per_s:>14}  {label}", stats::short(ns));
    }
}
