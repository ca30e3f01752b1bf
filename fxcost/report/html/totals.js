// Totals with their exact values, the formulas behind them, and whether they hold here.

function renderTotals(state) {
  const { setting } = state;
  const rows = (numbers) => numbers
    .filter((i) => !(data.quantities[i].name === "macs_causal" && setting.values[i] === setting.values[byName("macs")]))
    .map((i) => {
      const { label, unit } = data.quantities[i];
      const value = state.totals[i];
      const least = setting.standings[i] === "lower" ? "≥ " : "";
      const exactly = html("span", { "data-total": data.quantities[i].name }, value === null ? "unknown here" : grouped(value));
      return [label, value === null ? "–" : least + human(value, unit), exactly, setting.standings[i]];
    });
  const others = data.quantities.map((_, i) => i).filter((i) => !data.headlines.includes(i));
  const heads = ["quantity", "about", "exactly", "standing"];
  show("totals",
    table("Totals", heads, [...rows(data.headlines), ...intensity(state, setting)], [3]),
    details("more-totals", "More quantities", () => table("More quantities", heads, rows(others), [3])));
}

const byName = (name) => data.quantities.findIndex((quantity) => quantity.name === name);

function intensity(state, setting) {
  const [flops, ...traffic] = ["flops", "read_bytes", "write_bytes", "weight_bytes"].map((name) => total(state, name));
  if (flops === null || traffic.includes(null)) return [];
  const bytes = traffic.reduce((sum, each) => sum + each, 0n);
  return bytes ? [["arithmetic intensity", `${human(Number(flops) / Number(bytes), "FLOP/byte")}`, "",
    setting.standings[byName("flops")] === "lower" ? "of known operators" : ""]] : [];
}

// A foldable part whose content is made when it opens, and which stays as it was over redraws.
const opened = new Set();

function details(key, title, content) {
  const element = html("details", { open: opened.has(key) }, html("summary", {}, title));
  const make = () => element.children.length === 1 && element.append(content());
  if (opened.has(key)) make();
  element.addEventListener("toggle", () => {
    if (element.open) opened.add(key);
    else opened.delete(key);
    if (element.open) make();
  });
  return element;
}

let typesetSetting = -1;

function renderFormulas(state) {
  if (typesetSetting === state.settingNumber) return;
  typesetSetting = state.settingNumber;
  const { setting } = state;
  const entry = (i) => [
    html("dt", {}, data.quantities[i].label), html("dd", { tabindex: "0" }, formula(word(setting.formulas[i]))),
  ];
  const first = data.headlines.filter((i) => ["macs", "peak_memory", "total_activations", "params"].includes(data.quantities[i].name));
  const rest = data.quantities.map((_, i) => i).filter((i) => !first.includes(i));
  const used = new Set(setting.formulas.flatMap((text) => word(text).match(/[\p{L}_][\p{L}\p{N}_]*/gu) ?? []));
  for (const [name, text] of [...data.definitions].reverse()) { // a definition may use earlier ones
    if (used.has(name)) for (const inner of namesIn(read(text))) used.add(inner);
  }
  const definitions = data.definitions.filter(([name]) => used.has(name));
  show("formulas",
    html("dl", { class: "formulas" }, ...first.flatMap(entry)),
    details("more-formulas", "Formulas of the other quantities", () => html("dl", { class: "formulas" }, ...rest.flatMap(entry))),
    definitions.length > 0 && html("p", {}, "with ", ...definitions.flatMap(([name, text], i) =>
      [i ? ", " : "", html("span", { class: "definition" }, formula(name), " = ", formula(text))])));
}

// What is wrong at this point: sizes out of range, guards that are false.
function renderProblems(state) {
  const lines = [
    ...state.masked.map((why) => `Nothing is known here: ${why}.`),
    ...state.guards.map((guard) => `Outside the formulas' domain: ${guard} is false here. What depends on it is not shown.`),
  ];
  show("problems", lines.length > 0 && html("ul", {}, ...lines.map((line) => html("li", {}, line))));
  byId("problems").hidden = !lines.length;
}
