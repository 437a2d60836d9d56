"use strict";
// entries: what a row of the table stands for, with its runs; colours: by optimizer; dashes: by framework
const { entries, colours, dashes } = JSON.parse(document.getElementById("data").textContent);
const one = (query, within = document) => within.querySelector(query);
const all = (query, within = document) => [...within.querySelectorAll(query)];
// every table: its rows, and the names of its columns
const tables = all("table").map((table) => ({ table, rows: all("tbody tr", table), names: all("th", table).map((header) => header.textContent) }));
const text = (row, names, name) => row.cells[names.indexOf(name)].textContent;

// filters: a row stays where every chosen value is its own; a table without the column keeps its rows
const filters = all("#filters select");
const shows = (cell, value) => cell === value || cell.split(", ").includes(value);
function filter() {
  for (const { rows, names } of tables)
    for (const row of rows)
      row.hidden = filters.some(({ name, value }) => value && names.includes(name) && !shows(text(row, names, name), value));
  const [{ rows }] = tables;
  one("#count").textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows`;
}
filters.forEach((select) => select.addEventListener("change", filter));

// sorting: numbers by their value, what is no number last in both directions
function sort({ table, rows }, header, column) {
  const descending = header.getAttribute("aria-sort") === "ascending";
  const key = (row) => row.cells[column].dataset.sort;
  const order = (a, b) => {
    const [x, y] = [key(a), key(b)];
    if (x === undefined) return a.cells[column].textContent.localeCompare(b.cells[column].textContent) * (descending ? -1 : 1);
    if (x === "" || y === "") return (x === "") - (y === "");
    return (x - y) * (descending ? -1 : 1);
  };
  all("th", table).forEach((other) => other.removeAttribute("aria-sort"));
  header.setAttribute("aria-sort", descending ? "descending" : "ascending");
  one("tbody", table).append(...[...rows].sort(order));
}
for (const each of tables)
  all("th button", each.table).forEach((button) => button.addEventListener("click", () => sort(each, button.closest("th"), +button.dataset.column)));

// the runs behind a cell: of its row's case, optimizer and framework, or of the case that its column is
function element(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}
const cases = new Set(entries.map((entry) => entry.case));
function behind(row, names, column) {
  const wanted = Object.fromEntries(["case", "optimizer", "framework"].filter((name) => names.includes(name)).map((name) => [name, text(row, names, name)]));
  if (cases.has(names[column])) wanted.case = names[column];
  return wanted.optimizer === undefined ? [] : entries.filter((entry) => Object.entries(wanted).every(([name, value]) => entry[name] === value));
}
function open(found) {
  one("#runs-title").textContent = `${found[0].case}: ${found[0].optimizer}`;
  const body = one("#runs-body");
  body.replaceChildren();
  for (const { case: name, framework, runs } of found)
    for (const run of runs) {
      const list = document.createElement("dl");
      for (const [fact, value] of Object.entries(run.facts)) list.append(element("dt", fact), element("dd", value));
      body.append(element("h3", `${name}, ${framework}, seed ${run.seed}: ${run.status}`), list, element("code", run.command));
    }
  one("#runs").showModal();
}
for (const { rows, names } of tables)
  for (const row of rows)
    row.addEventListener("click", ({ target }) => {
      const found = behind(row, names, target.closest("td").cellIndex);
      if (found.length) open(found);
    });

// curves
const form = one("#picked"), chart = one("#chart");
const optimizers = [...new Set(entries.map((entry) => entry.optimizer))].sort();
for (const name of new Set(entries.map((entry) => entry.case))) form.elements.case.append(element("option", name));
for (const name of optimizers) {
  const label = document.createElement("label"), box = document.createElement("input"), patch = document.createElement("i");
  Object.assign(box, { type: "checkbox", name: "optimizer", value: name, checked: true });
  patch.style.background = colours[name];
  label.append(box, patch, name);
  one("fieldset", form).append(label);
}
const powers = (_, ticks) => ticks.map((tick) => (Number.isInteger(+Math.log10(tick).toFixed(9)) ? tick.toExponential(0) : ""));
let plot;
function draw() {
  const axis = +form.elements.axis.value;
  const shown = new Set(all("input:checked", form).map((box) => box.value));
  const series = entries.filter((entry) => entry.case === form.elements.case.value && shown.has(entry.optimizer))
    .flatMap((entry) => entry.runs.map((run) => ({ entry, run, points: run.history.filter((row) => row[axis] > 0 && row[3] > 0) })))
    .filter(({ points }) => points.length > 1);
  plot?.destroy();
  plot = undefined;
  chart.dataset.curves = series.length;
  if (!series.length) return chart.replaceChildren(element("p", "Nothing to draw: pick an optimizer."));
  chart.replaceChildren();
  const tables = series.map(({ points }) => [points.map((row) => row[axis]), points.map((row) => row[3])]);
  plot = new uPlot({
    width: chart.clientWidth, height: 460, legend: { show: false },
    scales: { x: { time: false, distr: 3 }, y: { distr: 3 } },
    axes: [{ label: form.elements.axis.selectedOptions[0].text, size: 45, values: powers }, { label: "relative L2 error", size: 70, values: powers }],
    series: [{}, ...series.map(({ entry }) => ({ stroke: colours[entry.optimizer], dash: dashes[entry.framework], width: 1.5, spanGaps: true, points: { show: false } }))],
  }, uPlot.join(tables), chart);
}
for (const button of all("button", form))
  button.addEventListener("click", () => {
    all("input", form).forEach((box) => { box.checked = button.name === "all"; });
    draw();
  });
form.addEventListener("change", draw);
window.addEventListener("resize", () => plot?.setSize({ width: chart.clientWidth, height: 460 }));

one("#copy").addEventListener("click", async () => {
  const text = one("#cite textarea");
  text.select();
  try { await navigator.clipboard.writeText(text.value); } catch { document.execCommand("copy"); }  // a page from disk may not use the clipboard
  one("#copied").textContent = "copied";
});
filter();
draw();
