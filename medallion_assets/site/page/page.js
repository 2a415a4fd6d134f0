// Draws the panels of a domain. It reads two things: `data/latest.json`, a small pointer that is asked for again and
// again by its ETag, and the document of panels that it names, which never changes. A document is drawn as a whole or
// not at all, so nobody sees half of a refresh.
"use strict";

const FORMAT = 1;
const POINTER = "data/latest.json";
const LATE_SECONDS = 300;
const PATIENCE = 3; // unanswered questions, one after another, until the page says that the server is gone

const state = { etag: null, pointer: null, version: null, document: null, failures: 0, answered: null, values: new Map(), charts: [], moved: false };
const hidden = new Map(); // by panel, the names of the series that the viewer has switched off

// ---- small helpers

const $ = (id) => document.getElementById(id);

function make(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined) continue;
    if (name === "class") made.className = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

const formats = new Map();
function formatted(value, unit, { short = false } = {}) {
  if (value === null || value === undefined) return "–";
  const scaled = unit.style === "percent" ? value * unit.scale : value;
  const compact = short ? Math.abs(scaled) >= 1e4 : Math.abs(scaled) >= 1e7;
  const key = JSON.stringify([unit, compact, short]);
  if (!formats.has(key)) {
    const options = { maximumFractionDigits: unit.style === "count" && !compact ? 0 : 2 };
    if (unit.style === "decimal" && !short) options.minimumFractionDigits = 2;
    if (unit.style === "currency") Object.assign(options, { style: "currency", currency: unit.currency });
    if (unit.style === "percent") Object.assign(options, { style: "percent", maximumFractionDigits: 1 });
    if (compact) Object.assign(options, { notation: "compact", maximumFractionDigits: 2 });
    formats.set(key, new Intl.NumberFormat(undefined, options));
  }
  return formats.get(key).format(scaled) + (unit.suffix ? ` ${unit.suffix}` : "");
}

const percent = new Intl.NumberFormat(undefined, { style: "percent", maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const dayAndClock = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const dayName = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short", timeZone: "UTC" });
const shortDay = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", timeZone: "UTC" });

const moment = (text) => {
  const at = new Date(text);
  return Date.now() - at < 12 * 3600e3 ? clock.format(at) : dayAndClock.format(at);
};

function ageText(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 120) return `${whole} s`;
  if (whole < 7200) return `${Math.round(whole / 60)} min`;
  if (whole < 172800) return `${Math.round(whole / 3600)} h`;
  return `${Math.round(whole / 86400)} days`;
}

const secondsSince = (text) => (Date.now() - new Date(text)) / 1000;
const plural = (count, one, many) => `${formatted(count, { style: "count" })} ${count === 1 ? one : many}`;
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// ---- reading

// A server may ask for a key. It is kept until the browser's tab is closed, and goes to this server only.
function withKey(headers = {}) {
  const key = sessionStorage.getItem("key");
  return key ? { ...headers, Authorization: `Bearer ${key}` } : headers;
}

function askForKey(failed) {
  if ($("key")) return;
  $("freshness").textContent = "A key is needed";
  const input = make("input", { id: "key", type: "password", autocomplete: "off", required: "", placeholder: "mk_…" });
  const form = make(
    "form",
    { class: "note", onsubmit: (event) => (event.preventDefault(), sessionStorage.setItem("key", input.value.trim()), form.remove(), look()) },
    make("label", { for: "key" }, failed ? "This key does not work. " : "This server asks for a key: "),
    input,
    make("button", { type: "submit" }, "Show the numbers"),
  );
  $("numbers").before(form);
  input.focus();
}

async function listen() {
  while (state.pointer?.events) {
    try {
      const answer = await fetch(state.pointer.events, { headers: withKey(), cache: "no-store" });
      if (!answer.ok) throw new Error(`${state.pointer.events} answered ${answer.status}`);
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let part = await reader.read(); !part.done; part = await reader.read()) if (part.value.includes("data:")) await look();
    } catch (failure) {
      console.warn(failure.message);
    }
    await new Promise((done) => setTimeout(done, 2000));
  }
  state.listening = false;
}

async function look() {
  try {
    const answer = await fetch(POINTER, { headers: withKey(state.etag ? { "If-None-Match": state.etag } : {}), cache: "no-store" });
    if (answer.status === 401) return askForKey(sessionStorage.getItem("key") !== null);
    if (answer.status !== 304) {
      if (!answer.ok) throw new Error(`${POINTER} answered ${answer.status}`);
      const pointer = await answer.json();
      if (pointer.format !== FORMAT) throw new Error(`${POINTER} has format ${pointer.format}; reload the page`);
      if (pointer.panels !== state.version) {
        const panels = await fetch(`data/${pointer.panels}`, { headers: withKey() });
        if (!panels.ok) throw new Error(`${pointer.panels} answered ${panels.status}`);
        state.document = await panels.json();
        state.version = pointer.panels;
        state.moved = true;
      }
      state.pointer = pointer;
      if (pointer.events && !state.listening) {
        state.listening = true;
        listen();
      }
      state.etag = answer.headers.get("ETag");
    }
    state.failures = 0;
    state.answered = Date.now();
  } catch (failure) {
    state.failures += 1;
    console.warn(failure.message);
  }
  if (state.document !== null && state.moved) draw();
  show();
}

async function poll() {
  for (;;) {
    await look();
    const seconds = state.pointer?.poll_seconds ?? 5;
    await new Promise((done) => setTimeout(done, Math.min(seconds * (1 + state.failures), 60) * 1000));
  }
}

// ---- drawing

function chosen() {
  const name = decodeURIComponent(location.hash.slice(1));
  const all = state.document.dashboards;
  return all.find((one) => one.name === name) ?? all[0];
}

function draw() {
  state.moved = false;
  const { title, dashboards } = state.document;
  const board = chosen();
  const open = new Set([...document.querySelectorAll("details[open]")].map((one) => one.dataset.of));
  const focused = document.activeElement?.dataset?.focus;
  const scrolled = new Map([...document.querySelectorAll(".scroll")].map((one) => [one.dataset.focus, one.scrollTop]));
  for (const chart of state.charts) chart.destroy();
  state.charts = [];
  $("domain").textContent = title;
  $("title").textContent = board?.title ?? title;
  document.title = `${board?.title ?? title} – ${title}`;
  $("dashboards").hidden = dashboards.length < 2;
  $("dashboards").replaceChildren(
    ...dashboards.map((one) =>
      make("a", { href: `#${encodeURIComponent(one.name)}`, "aria-current": one === board ? "page" : null, "data-focus": `nav ${one.name}` }, one.title),
    ),
  );
  const parts = [];
  if (!board) parts.push(make("p", { class: "empty" }, "This domain has no marts, so there are no numbers to show."));
  if (board?.description) parts.push(make("p", { class: "about" }, board.description));
  for (const row of board?.rows ?? []) {
    const heading = make("h2", {}, row.title);
    parts.push(make("section", { "aria-label": row.title }, heading, make("div", { class: "row" }, ...row.panels.map(drawPanel))));
  }
  $("numbers").replaceChildren(...parts);
  for (const one of document.querySelectorAll("[data-chart]")) one.draw();
  for (const one of document.querySelectorAll("details")) one.open = open.has(one.dataset.of);
  for (const one of document.querySelectorAll(".scroll")) one.scrollTop = scrolled.get(one.dataset.focus) ?? 0;
  if (focused) document.querySelector(`[data-focus="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}

function drawPanel(panel) {
  const kinds = { number: drawNumber, lines: drawLines, bars: drawBars, table: drawTable };
  const body = make("div", { class: "body" });
  if (panel.published === false) body.append(make("p", { class: "empty" }, "Nothing is published yet."));
  else body.append(...kinds[panel.kind](panel));
  return make(
    "article",
    { class: "panel", "data-kind": panel.kind, "data-panel": panel.title, "data-mart": panel.mart, style: `--width: ${panel.width}` },
    make("h3", {}, panel.title),
    make("p", { class: "means" }, panel.description),
    body,
    make("div", { class: "holds" }),
    make("p", { class: "state" }),
  );
}

function drawNumber(panel) {
  const { value, unit, before, days, same_part_before: samePart } = panel;
  const key = `${location.hash} ${panel.title}`;
  const moved = state.values.has(key) && state.values.get(key) !== value;
  state.values.set(key, value);
  const full = value === null ? "not known" : formatted(value, unit);
  const parts = [make("p", { class: moved ? "value changed" : "value" }, value === null ? "not known" : full)];
  if (days === undefined) return parts;
  if (days === 1 && samePart !== undefined && samePart !== null) {
    parts.push(compare(value, samePart, unit, "yesterday by this time"));
    if (before !== null) parts.push(make("p", { class: "compare" }, `${formatted(before, unit)} all of yesterday`));
  } else if (days === 1) {
    if (before !== null) parts.push(make("p", { class: "compare" }, `so far; ${formatted(before, unit)} all of yesterday`));
  } else if (before !== null) parts.push(compare(value, before, unit, `the ${days} days before`));
  return parts;
}

function compare(value, before, unit, words) {
  const rest = ` from ${formatted(before, unit)} ${words}`;
  if (value === null || before === null || before === 0) return make("p", { class: "compare" }, `${formatted(before, unit)} ${words}`);
  const change = (value - before) / Math.abs(before);
  if (Math.abs(change) < 0.0005) return make("p", { class: "compare" }, `the same as ${words}`);
  const sign = change > 0 ? "▲" : "▼";
  const said = make("b");
  said.append(make("span", { "aria-hidden": "true" }, `${sign} `), make("span", { class: "sr" }, change > 0 ? "up " : "down "), percent.format(Math.abs(change)));
  return make("p", { class: "compare" }, said, rest);
}

function drawBars(panel) {
  if (panel.bars.length === 0) return [make("p", { class: "empty" }, "Nothing to show.")];
  const most = Math.max(...panel.bars.map((one) => one.value ?? 0), 0) || 1;
  const rows = panel.bars.map((one) => {
    const bar = make("span", { class: "bar", "aria-hidden": "true", style: `width: ${Math.max(0, ((one.value ?? 0) / most) * 100)}%` });
    return make("tr", {}, make("td", { class: "name" }, one.name ?? "without a name"), make("td", { class: "track", "aria-hidden": "true" }, bar), make("td", { class: "number" }, formatted(one.value, panel.unit)));
  });
  return [scroller(panel, make("table", { class: "bars", "aria-label": panel.title }, make("tbody", {}, ...rows)))];
}

function drawTable(panel) {
  if (panel.rows.length === 0) return [make("p", { class: "empty" }, "No rows.")];
  const head = panel.columns.map((column) => make("th", { scope: "col", class: column.unit ? "number" : null }, column.title));
  const rows = panel.rows.map((row) => make("tr", {}, ...row.map((value, at) => cell(value, panel.columns[at]))));
  return [scroller(panel, make("table", { "aria-label": panel.title }, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows)))];
}

function cell(value, column) {
  if (!column.unit) return make("td", {}, value === null ? "–" : String(value));
  const bounds = column.red_below !== undefined || column.orange_below !== undefined;
  const below = (bound) => bound !== undefined && value !== null && value < bound;
  const named = below(column.red_below) ? "red" : below(column.orange_below) ? "orange" : "green";
  const words = { red: " (too low)", orange: " (low)", green: "" }[named];
  const marked = make("td", { class: bounds ? `number ${named}` : "number" }, formatted(value, column.unit));
  if (bounds && words) marked.append(make("span", { class: "sr" }, words));
  return marked;
}

const scroller = (panel, inside) => make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": panel.title, "data-focus": `scroll ${panel.title}` }, inside);

// ---- charts over days

function drawLines(panel) {
  if (panel.days.length === 0) return [make("p", { class: "empty" }, "No days to show.")];
  const off = hidden.get(panel.title) ?? new Set();
  hidden.set(panel.title, off);
  const readout = make("p", { class: "readout", "aria-live": "polite" });
  const place = make("div", { class: "chart", tabindex: "0", role: "img", "data-chart": "", "data-focus": `chart ${panel.title}`, "aria-label": chartLabel(panel) });
  const several = panel.series.length > 1;
  const legend = make("ul", { class: "legend", "aria-label": "Lines to show" });
  panel.series.forEach((one, at) => {
    const press = () => {
      if (off.has(one.name)) off.delete(one.name);
      else off.add(one.name);
      button.setAttribute("aria-pressed", String(!off.has(one.name)));
      place.draw();
    };
    const button = make("button", { type: "button", "aria-pressed": String(!off.has(one.name)), style: `--own: var(--c${at % 10})`, "data-focus": `line ${panel.title} ${one.name}`, onclick: press }, one.name);
    legend.append(make("li", {}, button));
  });
  place.draw = () => plot(panel, off, place, readout);
  const parts = [place, readout];
  if (several) parts.push(legend);
  parts.push(asTable(panel));
  return parts;
}

function chartLabel(panel) {
  const totals = panel.days.map((_, day) => panel.series.reduce((sum, one) => sum + (one.values[day] ?? 0), 0));
  const last = dayName.format(new Date(panel.days.at(-1)));
  const now = panel.series.length === 1 || panel.style === "stacked bars" ? `${formatted(totals.at(-1), panel.unit)} on ${last}` : `${panel.series.length} lines`;
  return `${panel.title}, ${panel.days.length} days up to ${last}: ${now}. Arrow keys go from day to day.`;
}

function asTable(panel) {
  const details = make("details", { "data-of": panel.title }, make("summary", { "data-focus": `table ${panel.title}` }, "As a table"));
  details.addEventListener("toggle", () => {
    if (!details.open || details.children.length > 1) return;
    const head = make("tr", {}, make("th", { scope: "col" }, "Day"), ...panel.series.map((one) => make("th", { scope: "col", class: "number" }, one.name)));
    const rows = panel.days
      .map((day, at) => make("tr", {}, make("td", {}, day), ...panel.series.map((one) => make("td", { class: "number" }, formatted(one.values[at], panel.unit)))))
      .reverse();
    const table = make("table", { "aria-label": panel.title }, make("thead", {}, head), make("tbody", {}, ...rows));
    details.append(make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `${panel.title}, as a table` }, table));
  });
  return details;
}

function plot(panel, off, place, readout) {
  if (place.chart) {
    state.charts = state.charts.filter((one) => one !== place.chart);
    place.chart.destroy();
  }
  const shown = panel.series.map((one, at) => ({ ...one, at })).filter((one) => !off.has(one.name));
  const days = panel.days.map((day) => Date.parse(day) / 1000);
  const stacked = panel.style === "stacked bars";
  const bars = panel.style !== "line";
  const columns = shown.map((one) => one.values);
  // Each bar stands on those before it; the tallest is drawn first, so all are seen.
  const heights = stacked ? columns.map((_, at) => days.map((_, day) => columns.slice(0, at + 1).reduce((sum, one) => sum + (one[day] ?? 0), 0))) : columns;
  const order = shown.map((_, at) => at);
  if (stacked) order.reverse();
  const drawn = order.map((at) => {
    const stroke = colour(`--c${shown[at].at % 10}`);
    if (!bars) return { stroke, width: 2, points: { show: days.length < 2, size: 7 }, fill: shown.length === 1 ? `${stroke}22` : undefined };
    return { stroke, width: 0, fill: stroke, paths: uPlot.paths.bars({ size: [0.75, 60], radius: stacked ? 0 : 0.08 }), points: { show: false } };
  });
  const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
  const font = `${0.75 * rem}px system-ui, sans-serif`;
  const axis = { stroke: colour("--soft"), font, grid: { stroke: colour("--grid"), width: 1 }, ticks: { show: false } };
  const pad = bars ? 0.5 * 86400 : 0;
  const options = {
    width: place.clientWidth || 300,
    height: Math.round(Math.max(13 * rem, Math.min(place.clientWidth * 0.28, 19 * rem))),
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "UTC"),
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { show: !bars } },
    scales: {
      x: { time: true, range: (_, low, high) => [low - pad, high + pad] },
      y: { range: (_, low, high) => [Math.min(0, low ?? 0), high > 0 ? high * 1.08 : panel.unit.style === "percent" ? 0.1 / panel.unit.scale : 1] },
    },
    axes: [
      { ...axis, space: 4.5 * rem, size: 2 * rem, grid: { show: false }, incrs: [1, 2, 7, 14, 28, 56, 91, 182, 364].map((count) => count * 86400), values: (_, ticks) => ticks.map((tick) => shortDay.format(new Date(tick * 1000))) },
      { ...axis, space: 2.3 * rem, size: 3.9 * rem, values: (_, ticks) => ticks.map((tick) => formatted(tick, panel.unit, { short: true })) },
    ],
    series: [{}, ...drawn],
    hooks: { setCursor: [(chart) => read(chart.cursor.idx)] },
  };
  const read = (at) => {
    if (at === null || at === undefined) at = panel.days.length - 1;
    const texts = shown.map((one) => (shown.length > 1 ? `${one.name} ` : "") + formatted(one.values[at], panel.unit));
    const sum = stacked && shown.length > 1 ? [`together ${formatted(shown.reduce((total, one) => total + (one.values[at] ?? 0), 0), panel.unit)}`] : [];
    readout.textContent = `${dayName.format(new Date(panel.days[at]))}: ${[...sum, ...texts].join(" · ")}`;
  };
  const chart = new uPlot(options, [days, ...order.map((at) => heights[at])], place);
  place.chart = chart;
  state.charts.push(chart);
  read(null);
  place.onkeydown = (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const from = chart.cursor.idx ?? days.length - (step < 0 ? 0 : 1);
    const to = Math.min(Math.max(from + step, 0), days.length - 1);
    chart.setCursor({ left: chart.valToPos(days[to], "x"), top: 10 });
  };
}

// ---- how old, how complete, held by what

function show() {
  const { pointer } = state;
  const gone = state.failures >= PATIENCE;
  const notes = [];
  if (gone) {
    const since = state.answered ? `since ${clock.format(new Date(state.answered))}` : "yet";
    notes.push(note("bad", `No answer ${since}. The numbers below are the last that arrived; the page goes on asking.`));
  }
  const marts = pointer ? Object.entries(pointer.marts) : [];
  const ages = marts.map(([, mart]) => secondsSince(mart.contains_to));
  const oldest = Math.max(...ages, 0);
  const held = new Map(marts.flatMap(([, mart]) => mart.held.map((one) => [one.asset, one])));
  for (const one of held.values()) notes.push(heldNote(one));
  replaceIfOther($("notice"), notes);
  const badge = $("freshness");
  if (pointer && marts.length > 0) {
    badge.dataset.state = gone || oldest > 3600 ? "bad" : held.size > 0 || oldest > LATE_SECONDS ? "warn" : "good";
    badge.textContent = `${gone ? "No answer" : held.size > 0 ? "Held" : "Up to date"} · ${ageText(oldest)} old`;
    if (!gone && held.size === 0 && oldest > LATE_SECONDS) badge.textContent = `Late · ${ageText(oldest)} old`;
  } else if (gone) {
    badge.dataset.state = "bad";
    badge.textContent = "No answer";
  }
  for (const article of document.querySelectorAll(".panel")) showState(article, pointer.marts[article.dataset.mart]);
}

function showState(article, mart) {
  if (!mart) return;
  const line = article.querySelector(".state");
  const seconds = secondsSince(mart.contains_to);
  const age = make("span", { class: seconds > LATE_SECONDS ? "late" : null }, `${ageText(seconds)} old`);
  const complete = mart.complete_to ? ` · complete up to ${moment(mart.complete_to)}` : " · complete up to: unknown";
  const missing = mart.missing > 0 ? make("span", { class: "late" }, ` · ${plural(mart.missing, "change is", "changes are")} set aside and not in it`) : null;
  line.replaceChildren(age, complete, ...(missing ? [missing] : []));
  replaceIfOther(
    article.querySelector(".holds"),
    mart.held.map((one) => make("p", { class: "held" }, `Held since ${moment(one.since)}: the last numbers that passed their checks.`)),
  );
}

function heldNote(one) {
  const text = `${one.asset} is held since ${moment(one.since)} by its rule “${one.rule}”. ${one.means} The numbers are the last that passed. `;
  return note("warn", text, one.url ? make("a", { href: one.url }, `${one.asset} in Dagster`) : null);
}

const note = (kind, ...inside) => make("p", { class: "note", "data-state": kind }, ...inside);

// A screen reader reads a live region again when its content is replaced, so the same content stays.
function replaceIfOther(place, parts) {
  const wanted = parts.map((part) => part.outerHTML).join("");
  if (place.dataset.shown === wanted) return;
  place.dataset.shown = wanted;
  place.replaceChildren(...parts);
}

// ---- light and dark

const THEMES = ["as the system", "light", "dark"];
const systemDark = matchMedia("(prefers-color-scheme: dark)");

function applyTheme() {
  const wanted = localStorage.getItem("theme") ?? THEMES[0];
  const dark = wanted === "dark" || (wanted !== "light" && systemDark.matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  document.documentElement.style.colorScheme = dark ? "dark" : "light";
  $("theme").textContent = `Theme: ${wanted}`;
  for (const one of document.querySelectorAll("[data-chart]")) one.draw();
}

$("theme").addEventListener("click", () => {
  const wanted = localStorage.getItem("theme") ?? THEMES[0];
  localStorage.setItem("theme", THEMES[(THEMES.indexOf(wanted) + 1) % THEMES.length]);
  applyTheme();
});
systemDark.addEventListener("change", applyTheme);
applyTheme();

let resized;
addEventListener("resize", () => {
  clearTimeout(resized);
  resized = setTimeout(() => document.querySelectorAll("[data-chart]").forEach((one) => one.draw()), 100);
});
addEventListener("hashchange", () => state.document && (draw(), show(), scrollTo(0, 0)));
document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && look());
setInterval(() => state.document && show(), 1000);
poll();
