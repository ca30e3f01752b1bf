// Memory over execution: a step for every operator, traced order against best order, and who is alive at a step.

const watched = { step: null, line: "traced" };

function renderTimeline(state) {
  const region = state.region;
  if (!region?.traced || !region.traced.bytes.length) {
    byId("timeline").hidden = true;
    show("timeline-text", html("p", {}, "Not known at these sizes."));
    return;
  }
  byId("timeline").hidden = false;
  const { traced, best } = region;
  if (!best) watched.line = "traced";
  const lines = [{ label: "traced order", colour: "blue", stepped: true, fill: true }];
  if (best) lines.push({ label: "best order", colour: "orange", stepped: true, dash: [8, 4] });
  const steps = Math.max(traced.bytes.length, best?.bytes.length ?? 0);
  const column = (line) => Array.from({ length: steps + 1 }, (_, i) => {
    const bytes = line.bytes[Math.min(i, line.bytes.length - 1)]; // the last step is as wide as the others
    return i > line.bytes.length ? null : Number(bytes);
  });
  chart("timeline", [Array.from({ length: steps + 1 }, (_, i) => i), column(traced), ...(best ? [column(best)] : [])], {
    series: lines, height: 280, onpoint: (index) => watch(Math.min(index, steps - 1), region),
    x: { label: "step: one operator each", format: (value) => (Number.isInteger(value) ? grouped(value) : "") },
    y: { label: "bytes alive", format: (value) => human(value, "bytes") },
  });
  renderTimelineText(region, lines);
}

function watch(step, region) {
  watched.step = step;
  renderAlive(region);
}

function renderTimelineText(region, lines) {
  const { traced, best, part } = region;
  const sentence = (label, line) => {
    const where = line.highest < 0 ? "before the first operator: the inputs" : `at ${describe(region, line.node(line.highest))}`;
    return html("li", {}, `${label}: peak `, html("b", {}, human(line.peak, "bytes")), ` (${grouped(line.peak)} bytes), ${where}`);
  };
  const proof = part.best && html("p", { class: "note" }, best
    ? `Best order found at ${part.best.at}: ${part.best.certificate}.` +
      (part.best.folded ? ` ${part.best.folded} operators that depend on no input count as done before.` : "")
    : `The best order found at ${part.best.at} is not drawn: at these sizes other values share memory.`);
  const without = !part.best && html("p", { class: "note" }, "Only the traced order is drawn: ", html("code", {}, "--best-order"),
    " looks for the order that needs least memory and draws it, too.");
  show("timeline-text", legend(lines), html("ul", {}, sentence("traced order", traced), best && sentence("best order", best)), proof, without, stepper(region));
  renderAlive(region);
}

// A slider over the steps: what the pointer does on the chart, for the keyboard.
function stepper(region) {
  const line = region[watched.line];
  const most = line.bytes.length - 1;
  const step = watched.step === null ? Math.max(line.highest, 0) : Math.min(watched.step, most);
  const choice = region.best && html("select", { "aria-label": "order", onchange: (event) => {
    watched.line = event.target.value;
    watched.step = null;
    renderTimelineText(region, legendLines(region));
  } }, ...["traced", "best"].map((name) => html("option", { value: name, selected: name === watched.line }, `${name} order`)));
  return html("div", { class: "stepper" }, choice,
    html("label", { for: "step" }, "Alive at step"),
    html("input", { id: "step", type: "range", min: 0, max: most, value: step, oninput: (event) => watch(Number(event.target.value), region) }),
    html("div", { id: "alive" }));
}

const legendLines = (region) => [
  { label: "traced order", colour: "blue" }, ...(region.best ? [{ label: "best order", colour: "orange", dash: [8, 4] }] : []),
];

function renderAlive(region) {
  const line = region[watched.line];
  const atPeak = watched.step === null;
  const step = atPeak ? line.highest : Math.min(watched.step, line.bytes.length - 1);
  const box = byId("step");
  if (box && !atPeak) box.value = step;
  const where = step < 0 ? "before the first operator" : `step ${step + 1} of ${line.bytes.length}, ${describe(region, line.node(step))}`;
  const bytes = step < 0 ? line.start : line.bytes[step];
  if (box) box.setAttribute("aria-valuetext", `${where}: ${human(bytes, "bytes")}`);
  const names = new Map(list(region.region.nodes.name).map((name, i) => [word(name), i]));
  const rows = line.alive(step).slice(0, 12).map((each) => {
    const node = names.get(each.block);
    return [each.block, node === undefined ? "" : word(list(region.region.modules.path)[list(region.region.nodes.module)[node]]),
      human(each.bytes, "bytes"), percent(each.bytes, bytes)];
  });
  const rest = line.alive(step).length - rows.length;
  show("alive",
    html("p", {}, `${atPeak ? "At the peak: " : ""}${where}: `, html("b", {}, human(bytes, "bytes")), " alive"),
    table("Blocks alive at this step", ["block", "module", "bytes", "share"], rows, [1]),
    rest > 0 && html("p", { class: "note" }, `and ${rest} smaller blocks`));
}

function describe(region, node) {
  const { nodes, modules } = region.region;
  const module = word(list(modules.path)[list(nodes.module)[node]]);
  return word(list(nodes.name)[node]) + (module ? ` of ${module}` : "");
}
