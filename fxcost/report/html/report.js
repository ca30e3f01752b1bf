// The page of one model: everything is drawn anew when a size or a setting changes, once a frame at most.

let last = {};
let waiting = false;

const PARTS = [renderProblems, renderTotals, renderMachines, renderTimeline, renderTreemap, renderRoofline, renderTree, renderFormulas, renderNotes];

function redraw() {
  waiting = false;
  const started = performance.now();
  last = evaluate(typed, picked.setting);
  refreshSizes(last);
  for (const part of PARTS) part(last);
  sayTotals(last);
  document.documentElement.dataset.redrawMs = (performance.now() - started).toFixed(2);
}

function recoloured() {
  forget();
  changed();
}

function changed() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(redraw);
}

// One sentence for those who hear the page, after things have come to rest.
let saying = 0;

function sayTotals(state) {
  clearTimeout(saying);
  saying = setTimeout(() => {
    const known = ["macs", "peak_memory"].map((name) => [data.quantities[byName(name)], total(state, name)]).filter(([, value]) => value !== null);
    const fit = state.region?.machines[picked.machine]?.verdict;
    byId("said").textContent = state.masked.length || !known.length ? "Nothing is known at these sizes." :
      known.map(([{ label, unit }, value]) => `${label} ${human(value, unit)}`).join(", ") +
      (fit ? `, ${data.machines[picked.machine].name}: ${VERDICTS[fit].slice(2)}` : "");
  }, 500);
}

document.documentElement.classList.add("live");
renderHead();
buildSizes(changed);
buildPickers(() => {
  watched.step = null;
  changed();
});
buildTheme(recoloured);
buildTreeTools(() => renderTree(last));
redraw();
addEventListener("resize", () => {
  forget();
  resizeCharts();
  changed();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recoloured);
// Paper is white: draw in light colours for the printer, and as before afterwards.
let before = null;
addEventListener("beforeprint", () => {
  before = document.documentElement.dataset.theme ?? "";
  document.documentElement.dataset.theme = "light";
  forget();
  redraw();
});
addEventListener("afterprint", () => {
  if (before) document.documentElement.dataset.theme = before;
  else delete document.documentElement.dataset.theme;
  forget();
  redraw();
});
