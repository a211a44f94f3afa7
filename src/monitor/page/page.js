"use strict";
const grouped = n => Math.round(n).toString().replace(/\B(?=(\d{3})+$)/g, ",");
const size = n => {
  const units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
  let unit = 0;
  while (n >= 999.5 && unit + 1 < units.length) { n /= 1000; unit++; }
  return n.toFixed(unit === 0 || n >= 99.95 ? 0 : 1) + " " + units[unit];
};
const span = ms => {
  const s = Math.floor(ms / 1000), d = Math.floor;
  return s === 0 ? d(ms) + " ms" : s < 60 ? s + " s" : s < 3600 ? d(s / 60) + " min " + s % 60 + " s"
    : s < 86400 ? d(s / 3600) + " h " + d(s / 60) % 60 + " min" : d(s / 86400) + " d " + d(s / 3600) % 24 + " h";
};
const formats = {
  text: String, grouped, size, span,
  rate: n => size(n) + "/s",
  lines: n => grouped(n) + " lines/s",
  us: n => n.toFixed(1) + " µs",
  ms: n => n.toFixed(1) + " ms",
  age: file => file.oldest_unsent_at_most_ms != null ? "≤ " + span(file.oldest_unsent_at_most_ms)
    : file.oldest_unsent_at_least_ms != null ? "≥ " + span(file.oldest_unsent_at_least_ms) : "",
};
const main = () => document.querySelector("main");
let turns = 0;
async function whole() {
  const page = new DOMParser().parseFromString(await (await fetch("/")).text(), "text/html");
  main().replaceWith(page.querySelector("main"));
  document.title = page.title;
}
function show(status) {
  for (const element of document.querySelectorAll("[data-j]")) {
    const value = element.dataset.j.split(".").reduce((at, key) => at == null ? at : at[key], status);
    if (element.tagName === "PROGRESS") {
      element.max = Math.max(value.size, 1);
      element.value = value.size ? value.position : 1;
    } else {
      element.textContent = value == null ? "–" : formats[element.dataset.f](value);
    }
  }
  main().querySelector("h1").className = status.verdict.state;
  document.title = status.agent + ": " + status.verdict.text;
}
async function turn() {
  const begin = performance.now();
  try {
    if (!document.hidden) {
      const status = await (await fetch("/status.json")).json();
      // Other rows than before, or a chart that has grown.
      if (status.shape !== main().dataset.shape || ++turns % 10 === 0) await whole(); else show(status);
    }
  } catch {
    const verdict = main().querySelector("h1");
    verdict.className = "bad";
    verdict.textContent = "no answer: the agent has ended, or stands still";
    main().dataset.shape = "";
  }
  // A large answer costs the agent something: then it is asked less often.
  setTimeout(turn, Math.max(1000, 5 * (performance.now() - begin)));
}
setTimeout(turn, 1000);
