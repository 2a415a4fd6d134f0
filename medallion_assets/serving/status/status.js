// Draws v1/status: a line for each table, green or red, and what is wrong with it. The key is the one of the numbers.
"use strict";

const SECONDS = 5;
const $ = (id) => document.getElementById(id);
const clock = new Intl.DateTimeFormat(undefined, { dateStyle: "short", timeStyle: "medium" });
const whole = new Intl.NumberFormat();

function theme() {
  const wanted = localStorage.getItem("theme");
  const dark = wanted === "dark" || (wanted !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  document.documentElement.style.colorScheme = dark ? "dark" : "light";
}

function cell(content, name) {
  const made = document.createElement("td");
  if (name) made.className = name;
  made.append(...[content].flat());
  return made;
}

function trouble(one) {
  const made = document.createElement("p");
  made.append(one.text);
  if (one.url) {
    const link = document.createElement("a");
    link.href = one.url;
    link.textContent = "In Dagster";
    made.append(" ", link);
  }
  if (one.command) {
    const command = document.createElement("code");
    command.textContent = one.command;
    made.append(" ", command);
  }
  return made;
}

const time = (text) => (text ? clock.format(new Date(text)) : "–");
const count = (number) => (number === null ? "–" : whole.format(number));

function line(one) {
  const made = document.createElement("tr");
  made.dataset.table = one.table;
  const state = one.troubles.length === 0 ? cell("fine", "green") : cell([document.createTextNode("look"), ...one.troubles.map(trouble)], "red");
  made.append(cell(one.table), state, ...[one.captured_at, one.merged_at, one.published_at, one.complete_to, one.verified_at].map((at) => cell(time(at))), cell(count(one.rows), "number"), cell(count(one.pending), "number"));
  return made;
}

async function look() {
  const badge = $("freshness");
  try {
    const key = sessionStorage.getItem("key");
    const answer = await fetch("v1/status", { headers: key ? { Authorization: `Bearer ${key}` } : {}, cache: "no-store" });
    if (answer.status === 401) throw new Error("open the numbers first, which ask for a key");
    if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
    const { at, tables } = await answer.json();
    const bad = tables.filter((one) => one.troubles.length > 0).length;
    badge.dataset.state = bad ? "bad" : "good";
    badge.textContent = `${bad ? `${bad} of ${tables.length} to look at` : "All fine"} · ${clock.format(new Date(at))}`;
    $("lines").replaceChildren(...tables.map(line));
  } catch (failure) {
    badge.dataset.state = "bad";
    badge.textContent = `No answer: ${failure.message}`;
  }
  setTimeout(look, SECONDS * 1000);
}

theme();
look();
