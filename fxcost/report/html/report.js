// The page of one model.

const PARTS = [renderProblems, renderTotals, renderMachines, renderTimeline, renderPatches, renderTreemap, renderRoofline, renderTree, renderFormulas, renderNotes];

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

renderHead();
buildSizes(changed);
buildPickers(() => {
  watched.step = null;
  changed();
});
buildTheme(recoloured);
buildTreeTools(() => renderTree(last));
begin(() => {
  last = evaluate(typed, picked.setting);
  refreshSizes(last);
  for (const part of PARTS) part(last);
  sayTotals(last);
});
