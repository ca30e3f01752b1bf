// What was analysed and how: unknown operators, pinned sizes, guards, notes, the command.

const INPUTS = {
  freed: "inputs counted until their last reader", held: "inputs held by the caller throughout", excluded: "inputs not counted",
};

function renderHead() {
  byId("model").textContent = data.model;
  const inputs = new Map();
  for (const input of data.inputs) inputs.set(input, (inputs.get(input) ?? 0) + 1);
  byId("about").textContent = [
    [...inputs].map(([kind, count]) => (count > 1 ? `${kind} ×${count}` : kind)).join(", "), data.mode,
  ].filter(Boolean).join("; ");
  const unknown = Object.entries(data.unknown);
  const lines = [
    unknown.length > 0 && `Operators without a cost rule, so that totals are lower bounds: ${unknown.map(([op, count]) => `${op} ×${count}`).join(", ")}`,
    ...data.warnings.map((warning) => `Warning: ${warning}`),
    data.settings.some((setting) => setting.standings.includes("numeric")) && "One run was recorded: the numbers hold at its sizes alone.",
    ...Object.values(data.fixed).map((why) => `Pinned: ${why}`),
  ].filter(Boolean);
  show("caveats", lines.length > 0 && html("ul", {}, ...lines.map((line) => html("li", {}, line))));
  byId("caveats").hidden = !lines.length;
}

function renderNotes(state) {
  const guards = [...new Set([...state.setting.guards, ...state.setting.memoryGuards])].map((number_) => data.conditions[number_]);
  const unknown = Object.entries(data.unknown);
  const { setting } = state;
  show("notes",
    html("h3", {}, "Operators without a cost rule"),
    html("p", {}, unknown.length ? unknown.map(([op, count]) => `${op} ×${count}`).join(", ") : "none"),
    html("h3", {}, "Sizes that the model pins"),
    Object.keys(data.fixed).length ? html("ul", {}, ...Object.values(data.fixed).map((why) => html("li", {}, why))) : html("p", {}, "none"),
    html("h3", {}, "Where the formulas hold"),
    html("p", {}, data.symbols.map((symbol) => `${symbol.name} ${rangeText(symbol)}`).join("; ") || "every size is fixed"),
    guards.length ? html("ul", {}, ...guards.map((guard) => html("li", {}, html("code", {}, guard)))) : html("p", {}, "no further guards"),
    html("h3", {}, "How it is counted"),
    html("p", {}, `accounting ${setting.accounting}; widths ${setting.widths}; ${INPUTS[data.accountedInputs]}, outputs to the end, ` +
      "parameters apart. 1 MAC is one multiply and one add, padded taps included; norms, activations and pooling are other operations. " +
      "Traffic: bytes of activations read and written and of weights, per operator. KB = 1000 bytes."),
    data.notes.length > 0 && html("ul", {}, ...data.notes.map((note) => html("li", {}, note))),
    ...howMade());
}
