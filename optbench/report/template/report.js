"use strict";
// entries: what a row of the table stands for, with its runs; colours: by optimizer; dashes: by framework
const { entries, colours, dashes } = JSON.parse(document.getElementById("data").textContent);
const one = (query, within = document) => within.querySelector(query);
const all = (query, within = document) => [...within.querySelectorAll(query)];
// every table: its rows, and the names of its columns
const tables = all("table.sorted").map((table) => ({ table, rows: all("tbody tr", table), names: all("th", table).map((header) => header.textContent) }));
const text = (row, names, name) => row.cells[names.indexOf(name)].textContent;

// filters: a row stays where every chosen value is its own; a table without the column keeps its rows
const filters = all("#filters select");
const shows = (cell, value, name) => cell === value || (name === "status" && cell.split(", ").includes(value));
function filter() {
  for (const { rows, names } of tables)
    for (const row of rows)
      row.hidden = filters.some(({ name, value }) => value && names.includes(name) && !shows(text(row, names, name), value, name));
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
  const names = [...new Set(found.map((entry) => entry.optimizer))];
  one("#runs-title").textContent = `${found[0].case}: ${names.length > 3 ? `${names.length} optimizers` : names.join(", ")}`;
  const body = one("#runs-body");
  body.replaceChildren();
  for (const { case: name, optimizer, framework, runs } of found)
    for (const run of runs) {
      const list = document.createElement("dl");
      for (const [fact, value] of Object.entries(run.facts)) list.append(element("dt", fact), element("dd", value));
      body.append(element("h3", `${names.length > 1 ? `${optimizer}, ` : ""}${name}, ${framework}, seed ${run.seed}: ${run.status}`), list, element("code", run.command));
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
for (const name of new Set(entries.map((entry) => entry.case))) form.elements.case.append(new Option(name, name));
for (const name of optimizers) {
  const label = document.createElement("label"), box = document.createElement("input"), patch = document.createElement("i");
  Object.assign(box, { type: "checkbox", name: "optimizer", value: name, checked: true });
  patch.style.background = colours[name];
  label.append(box, patch, name);
  one("fieldset", form).append(label);
}
const powers = (_, ticks) => ticks.map((tick) => (Number.isInteger(+Math.log10(tick).toFixed(9)) ? tick.toExponential(0) : ""));
let plot;
function picked() {
  const shown = new Set(all("input:checked", form).map((box) => box.value));
  return entries.filter((entry) => entry.case === form.elements.case.value && shown.has(entry.optimizer));
}
function draw() {
  const axis = +form.elements.axis.value;
  const series = picked().flatMap((entry) => entry.runs.map((run) => ({ entry, run, points: run.history.filter((row) => row[axis] > 0 && row[3] > 0) })))
    .filter(({ points }) => points.length > 1);
  plot?.destroy();
  plot = undefined;
  chart.dataset.curves = series.length;
  if (!series.length) return chart.replaceChildren(element("p", "Nothing to draw: pick an optimizer that got beyond its first step."));
  chart.replaceChildren();
  const tables = series.map(({ points }) => [points.map((row) => row[axis]), points.map((row) => row[3])]);
  plot = new uPlot({
    width: chart.clientWidth, height: 460, legend: { show: false },
    scales: { x: { time: false, distr: 3 }, y: { distr: 3 } },
    axes: [{ label: form.elements.axis.selectedOptions[0].text, size: 45, values: powers }, { label: "relative L2 error", size: 70, values: powers }],
    series: [{}, ...series.map(({ entry }) => ({ stroke: colours[entry.optimizer], dash: dashes[entry.framework], width: 1.5, spanGaps: true, points: { show: false } }))],
  }, uPlot.join(tables), chart);
}
function pick(chosen) {
  all("input", form).forEach((box) => { box.checked = chosen(box.value); });
  draw();
}
form.elements.all.addEventListener("click", () => pick(() => true));
form.elements.none.addEventListener("click", () => pick(() => false));
form.elements.runs.addEventListener("click", () => { if (picked().length) open(picked()); });
form.addEventListener("change", draw);
window.addEventListener("resize", () => plot?.setSize({ width: chart.clientWidth, height: 460 }));

// the heat map: a cell, or the name of a case, opens its curves; arrows go from cell to cell
const cells = all(".heat button");
for (const cell of cells) {
  cell.tabIndex = cell === cells[0] ? 0 : -1;
  cell.addEventListener("click", () => {
    form.elements.case.value = cell.dataset.case;
    pick((name) => [name, undefined].includes(cell.dataset.optimizer));
    one("#curves h2").focus({ preventScroll: true });
    one("#curves").scrollIntoView();
  });
}
const middle = (cell) => { const box = cell.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; };
const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
one(".heat").addEventListener("keydown", (event) => {
  if (!(event.key in ways)) return;
  event.preventDefault();
  const [dx, dy] = ways[event.key], from = middle(event.target);
  const ahead = cells.map((cell) => {
    const [x, y] = middle(cell).map((value, axis) => value - from[axis]);
    return { cell, along: dx * x + dy * y, across: Math.abs(dy * x + dx * y) };
  }).filter(({ along }) => along > 2);  // pixels: a cell of the same column or row is not ahead
  const [next] = ahead.sort((a, b) => a.along + 8 * a.across - b.along - 8 * b.across);
  if (!next) return;
  event.target.tabIndex = -1;
  next.cell.tabIndex = 0;
  next.cell.focus();
});

// a link into a folded table opens it
function unfold() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target?.tagName === "DETAILS") target.open = true;
}
window.addEventListener("hashchange", unfold);
unfold();

one("#copy").addEventListener("click", async () => {
  const text = one("#cite textarea");
  text.select();
  try { await navigator.clipboard.writeText(text.value); } catch { document.execCommand("copy"); }  // a page from disk may not use the clipboard
  one("#copied").textContent = "copied";
});
filter();
draw();
