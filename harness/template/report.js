"use strict";
// entries: what a row of the table stands for, with its runs; colours: by optimizer; dashes: by framework
const { entries, colours, dashes } = JSON.parse(document.getElementById("data").textContent);
const one = (query, within = document) => within.querySelector(query);
const all = (query, within = document) => [...within.querySelectorAll(query)];
const rows = all("#entries tbody tr");

// filters: a row stays where every chosen value is its own
const filters = all("#filters select");
const names = all("#entries th").map((header) => header.textContent);
function filter() {
  for (const row of rows) {
    const cells = [...row.cells].map((cell) => cell.textContent);
    row.hidden = filters.some(({ name, value }) => value && !cells[names.indexOf(name)].split(", ").includes(value)
      && cells[names.indexOf(name)] !== value);
  }
  one("#count").textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows`;
}
filters.forEach((select) => select.addEventListener("change", filter));

// sorting: numbers by their value, what is no number last in both directions
function sort(header, column) {
  const descending = header.getAttribute("aria-sort") === "ascending";
  const key = (row) => row.cells[column].dataset.sort;
  const order = (a, b) => {
    const [x, y] = [key(a), key(b)];
    if (x === undefined) return a.cells[column].textContent.localeCompare(b.cells[column].textContent) * (descending ? -1 : 1);
    if (x === "" || y === "") return (x === "") - (y === "");
    return (x - y) * (descending ? -1 : 1);
  };
  all("#entries th").forEach((other) => other.removeAttribute("aria-sort"));
  header.setAttribute("aria-sort", descending ? "descending" : "ascending");
  one("#entries tbody").append(...[...rows].sort(order));
}
all("#entries th button").forEach((button) => button.addEventListener("click", () => sort(button.closest("th"), +button.dataset.column)));

// a row's runs
function element(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}
function open(entry) {
  one("#runs-title").textContent = `${entry.case}: ${entry.optimizer}, ${entry.framework}`;
  const body = one("#runs-body");
  body.replaceChildren();
  for (const run of entry.runs) {
    const list = document.createElement("dl");
    for (const [name, value] of Object.entries(run.facts)) list.append(element("dt", name), element("dd", value));
    body.append(element("h3", `seed ${run.seed}: ${run.status}`), list, element("code", run.command));
  }
  one("#runs").showModal();
}
rows.forEach((row) => row.addEventListener("click", () => open(entries[row.dataset.entry])));

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
