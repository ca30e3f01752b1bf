// Sizes and settings: what the user has typed, moved and picked. `typed` holds text by symbol: a number, or a formula in
// other symbols, which ties the size to them.

const typed = Object.fromEntries(data.symbols.map((symbol) => [symbol.name, symbol.tie || String(symbol.start)]));
const picked = { setting: data.chosen ?? 0, machine: 0 };

// The slider of a size without an upper end reaches eight times as far as it began, or as far as was typed.
const reach = Object.fromEntries(data.symbols.map((symbol) => [symbol.name, reachOf(symbol)]));

function reachOf(symbol) {
  if (symbol.max !== null && symbol.max <= 65536) return symbol.max;
  const far = Math.max(8 * symbol.start, 64 * symbol.step, symbol.min + 63 * symbol.step);
  const ceiling = symbol.max === null ? Number.MAX_SAFE_INTEGER : symbol.max;
  return Math.min(Math.ceil(far / symbol.step) * symbol.step, ceiling);
}

const lowest = (symbol) => Math.ceil(symbol.min / symbol.step) * symbol.step;

function buildSizes(changed) {
  if (!data.symbols.length) {
    show("sizes", html("p", {}, "Every size of this model is fixed: there is nothing to move."));
    byId("sizes").nextElementSibling.hidden = true; // how to type sizes
    return;
  }
  show("sizes", ...data.symbols.map((symbol) => sizeControl(symbol, changed)));
}

function sizeControl(symbol, changed) {
  const { name } = symbol;
  const set = (text) => {
    typed[name] = text;
    changed();
  };
  const others = data.symbols.filter((other) => other !== symbol);
  const what = symbol.kind === "data" ? "decided by the data" : rangeText(symbol);
  return html("div", { class: "size", "data-symbol": name },
    html("label", { for: `value-${name}`, class: "symbol" }, name),
    html("input", {
      id: `value-${name}`, type: "text", inputmode: "text", autocomplete: "off", spellcheck: "false",
      "aria-describedby": `note-${name}`, value: typed[name], oninput: (event) => set(event.target.value),
    }),
    others.length > 0 && html("select", {
      id: `tie-${name}`, "aria-label": `what ${name} follows`,
      onchange: (event) => set(event.target.value || String(last.sizes?.[name] ?? symbol.start)),
    }, html("option", { value: "" }, "free"),
    ...others.map((other) => html("option", { value: other.name }, `= ${other.name}`)),
    html("option", { value: "formula", disabled: true, hidden: true }, "formula")),
    html("input", {
      id: `slider-${name}`, type: "range", min: lowest(symbol), max: reach[name], step: symbol.step,
      "aria-label": `${name}, slider`, value: symbol.start, oninput: (event) => set(event.target.value),
    }),
    html("p", { id: `note-${name}`, class: "note" }, what));
}

// Bring text boxes, sliders and ties in line with what is typed.
function refreshSizes(state) {
  for (const symbol of data.symbols) {
    const { name } = symbol;
    const [box, slider, tie, note] = ["value", "slider", "tie", "note"].map((part) => byId(`${part}-${name}`));
    const free = isNumber(typed[name]);
    const problem = state.problems[name];
    if (document.activeElement !== box) box.value = typed[name];
    box.setAttribute("aria-invalid", problem ? "true" : "false");
    const size = state.sizes[name];
    if (size !== undefined && !problem) {
      const most = symbol.max ?? Number.MAX_SAFE_INTEGER;
      if (Number(size) > reach[name]) reach[name] = Math.min(Number(size) * 2, most);
      slider.max = reach[name];
      slider.value = Number(size);
      slider.setAttribute("aria-valuetext", grouped(size));
    }
    slider.disabled = !free;
    if (tie) {
      const text = typed[name].trim();
      const known = [...tie.options].some((option) => option.value === text);
      tie.value = free ? "" : known ? text : "formula";
    }
    const now = free || size === undefined ? "" : `now ${grouped(size)}; `;
    const what = symbol.kind === "data" ? "decided by the data" : rangeText(symbol);
    note.textContent = problem ? `${name} ${problem}` : now + what;
    note.classList.toggle("wrong", Boolean(problem));
  }
}

function picker(id, label, names, chosen, changed) {
  return html("p", { class: "picker" },
    html("label", { for: id }, label),
    html("select", { id, onchange: (event) => changed(Number(event.target.value)) },
      ...names.map((name, i) => html("option", { value: i, selected: i === chosen }, name))));
}

// Accounting, widths and machine. A setting is a pair of the first two.
function buildPickers(changed) {
  const unique = (key) => [...new Set(data.settings.map((setting) => setting[key]))];
  const [accountings, widths] = [unique("accounting"), unique("widths")];
  const current = () => data.settings[picked.setting];
  const choose = (key, value) => {
    const wanted = { ...current(), [key]: value };
    const same = (setting) => setting.accounting === wanted.accounting && setting.widths === wanted.widths;
    picked.setting = data.settings.findIndex(same);
    changed();
  };
  show("pickers",
    picker("accounting", "accounting", accountings, accountings.indexOf(current().accounting), (i) => choose("accounting", accountings[i])),
    picker("widths", "dtype", widths, widths.indexOf(current().widths), (i) => choose("widths", widths[i])),
    data.machines.length > 0 && picker("machine", "machine", data.machines.map((machine) => machine.name), picked.machine, (i) => {
      picked.machine = i;
      changed();
    }));
}

// Light, dark, or as the system says.
function buildTheme(changed) {
  const root = document.documentElement;
  const names = ["system", "light", "dark"];
  show("theme", picker("theme-choice", "colours", names, 0, (i) => {
    if (i) root.dataset.theme = names[i];
    else delete root.dataset.theme;
    changed();
  }));
}
