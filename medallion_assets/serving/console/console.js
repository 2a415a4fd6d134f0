// A console over v1/tables and v1/sql: tables with their columns, one SELECT, its rows, and the same request as code.
"use strict";

const $ = (id) => document.getElementById(id);
const HISTORY = 30;
const names = new Set();

function theme() {
  const wanted = localStorage.getItem("theme");
  const dark = wanted === "dark" || (wanted !== "light" && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  document.documentElement.style.colorScheme = dark ? "dark" : "light";
}

function make(tag, text, name) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (name) made.className = name;
  return made;
}

// A bigint may have more digits than a number of JavaScript: then its text is shown.
const withAllDigits = (_, value, context) => (Number.isInteger(value) && !Number.isSafeInteger(value) ? context?.source ?? value : value);

async function ask(path, body) {
  const key = sessionStorage.getItem("key");
  const headers = { ...(key ? { Authorization: `Bearer ${key}` } : {}), ...(body ? { "Content-Type": "application/json" } : {}) };
  const answer = await fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), cache: "no-store" });
  if (answer.status === 401) $("keyform").hidden = false;
  const found = JSON.parse(await answer.text(), withAllDigits);
  if (!answer.ok) throw new Error(found.error?.message ?? `The server answered ${answer.status}.`);
  return found;
}

// ---- tables

async function showTables() {
  try {
    const { tables } = await ask("v1/tables");
    $("tables").replaceChildren(...tables.map(table));
    for (const one of tables) names.add(one.name);
  } catch (failure) {
    $("about").textContent = failure.message;
  }
}

function table(one) {
  const made = make("details");
  made.dataset.table = one.name;
  made.append(make("summary", one.name), make("p", one.description));
  const sample = make("button", "First rows");
  sample.type = "button";
  sample.addEventListener("click", () => {
    $("sql").value = `SELECT * FROM ${one.name} LIMIT 20`;
    run();
  });
  made.append(sample);
  made.addEventListener("toggle", async () => {
    if (!made.open || made.dataset.read) return;
    made.dataset.read = "yes";
    const { columns } = await ask(`v1/tables/${one.name}`);
    const list = make("ul");
    for (const column of columns) {
      names.add(column.name);
      list.append(make("li", `${column.name} ${column.type}${column.description ? `: ${column.description}` : ""}`));
    }
    made.append(list);
  });
  return made;
}

// ---- a query

const request = () => ({ sql: $("sql").value, freshness: $("fresh").checked ? "fresh" : "published" });

async function run() {
  $("about").textContent = "Running …";
  showCode();
  const began = performance.now();
  try {
    const found = await ask("v1/sql", request());
    const age = found.age_seconds === null ? "complete up to: unknown" : `complete up to ${Math.round(found.age_seconds)} s ago`;
    $("about").textContent = `${found.row_count} rows in ${Math.round(performance.now() - began)} ms · ${age}${found.audited ? "" : " · no check has seen these rows yet"}`;
    const head = make("tr");
    for (const column of found.columns) {
      const cell = make("th", column.name);
      cell.scope = "col";
      cell.title = column.type;
      head.append(cell);
    }
    const rows = found.rows.map((row) => {
      const line = make("tr");
      line.append(...row.map((value) => make("td", value === null ? "null" : typeof value === "object" ? JSON.stringify(value) : String(value))));
      return line;
    });
    const whole = make("table");
    const top = make("thead");
    const body = make("tbody");
    top.append(head);
    body.append(...rows);
    whole.append(top, body);
    $("result").replaceChildren(whole);
    remember();
  } catch (failure) {
    $("about").textContent = failure.message;
    $("result").replaceChildren();
  }
}

// ---- completion: the names of tables, and of the columns of the tables that were opened

function complete(event) {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    run();
    return;
  }
  if (event.key !== "Tab" || event.shiftKey) return;
  const editor = $("sql");
  const before = editor.value.slice(0, editor.selectionStart);
  const word = /[A-Za-z_][\w.]*$/.exec(before)?.[0];
  const fitting = word ? [...names].filter((name) => name.startsWith(word) && name !== word).sort() : [];
  if (fitting.length === 0) return; // Tab goes on to the next control
  event.preventDefault();
  let common = fitting[0];
  while (!fitting.every((name) => name.startsWith(common))) common = common.slice(0, -1);
  editor.setRangeText(common.slice(word.length), editor.selectionStart, editor.selectionEnd, "end");
  $("hint").textContent = fitting.length > 1 ? fitting.slice(0, 12).join("  ") : "";
}

// ---- history and code

function remember() {
  const known = JSON.parse(localStorage.getItem("history") ?? "[]").filter((sql) => sql !== $("sql").value);
  localStorage.setItem("history", JSON.stringify([$("sql").value, ...known].slice(0, HISTORY)));
  showHistory();
}

function showHistory() {
  const lines = JSON.parse(localStorage.getItem("history") ?? "[]").map((sql) => {
    const line = make("li");
    const button = make("button", sql);
    button.type = "button";
    button.addEventListener("click", () => ($("sql").value = sql));
    line.append(button);
    return line;
  });
  $("history").replaceChildren(...lines);
}

function showCode() {
  const url = new URL("v1/sql", location.href).href;
  const body = JSON.stringify(request());
  const text = JSON.stringify(body); // a string literal in Python, JavaScript and Go
  const shell = body.replaceAll("'", "'\\''");
  const parts = {
    curl: `curl -s ${url} -H "Authorization: Bearer $MEDALLION_KEY" -H 'Content-Type: application/json' -d '${shell}'`,
    Python: `import os\nimport urllib.request\n\nrequest = urllib.request.Request(\n    "${url}",\n    data=${text}.encode(),\n    headers={"Authorization": "Bearer " + os.environ.get("MEDALLION_KEY", ""), "Content-Type": "application/json"},\n)\nprint(urllib.request.urlopen(request).read().decode())`,
    JavaScript: `const answer = await fetch("${url}", {\n  method: "POST",\n  headers: { Authorization: \`Bearer \${process.env.MEDALLION_KEY ?? ""}\`, "Content-Type": "application/json" },\n  body: ${text},\n});\nconsole.log(await answer.text());`,
    Go: `package main\n\nimport (\n\t"fmt"\n\t"io"\n\t"net/http"\n\t"os"\n\t"strings"\n)\n\nfunc main() {\n\trequest, _ := http.NewRequest("POST", "${url}", strings.NewReader(${text}))\n\trequest.Header.Set("Authorization", "Bearer "+os.Getenv("MEDALLION_KEY"))\n\trequest.Header.Set("Content-Type", "application/json")\n\tanswer, err := http.DefaultClient.Do(request)\n\tif err != nil {\n\t\tpanic(err)\n\t}\n\trows, _ := io.ReadAll(answer.Body)\n\tfmt.Println(string(rows))\n}`,
  };
  $("code").replaceChildren(
    ...Object.entries(parts).flatMap(([language, code]) => {
      const block = make("pre", code);
      block.dataset.language = language;
      block.tabIndex = 0;
      return [make("h3", language), block];
    }),
  );
}

theme();
$("run").addEventListener("click", run);
$("sql").addEventListener("keydown", complete);
$("keyform").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("key", $("key").value.trim());
  $("keyform").hidden = true;
  showTables();
});
$("sql").value = JSON.parse(localStorage.getItem("history") ?? "[]")[0] ?? "SELECT ";
showHistory();
showCode();
showTables();
