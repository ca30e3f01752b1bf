// The comparison page: one chart along one size, the values at the size chosen, and which model is least where.

const shown = {
  metric: Math.max(0, METRICS.findIndex(({ name }) => name === data.metric)), wrt: data.symbols.findIndex(({ name }) => name === data.wrt),
  logX: false, logY: false, from: null, to: null,
};
const DASHES = [undefined, [10, 5], [3, 3], [12, 4, 3, 4], [6, 2], [2, 6], [16, 6]];

const along = () => data.symbols[shown.wrt];
const said = (metric, value) => (metric.rate ? (metric.unit === "J" ? joules(value) : seconds(value)) : human(value, metric.unit));

// The axis begins where the size does and ends at twice the size chosen, unless the user says otherwise.
function rangeOf(symbol, size) {
  const low = Math.max(shown.from ?? lowest(symbol), lowest(symbol));
  const automatic = Math.max(2 * Number(size ?? symbol.start), low + 64 * symbol.step);
  const high = Math.min(shown.to ?? automatic, symbol.max === null ? Number.MAX_SAFE_INTEGER : Number(symbol.max));
  return [low, Math.max(high, low + symbol.step)];
}

function renderLines(metric, lines) {
  const symbol = along();
  byId("lines-title").textContent = `${metric.label}${symbol ? ` along ${symbol.name}` : ""}`;
  show("problems", last.masked.length > 0 && html("ul", {}, ...last.masked.map((why) => html("li", {}, `Nothing is known here: ${why}.`))));
  byId("problems").hidden = !last.masked.length;
  byId("lines").hidden = !symbol;
  if (!symbol) return;
  const [low, high] = rangeOf(symbol, last.sizes[symbol.name]);
  const sizes = samples(symbol, low, high, shown.logX);
  const points = sizes.map((size) => alongAt(symbol.name, size));
  const number_ = (value) => (value === null || (shown.logY && !(value > 0)) ? null : Number(value));
  const columns = lines.map((line) => points.map((at) => (at === null ? null : number_(line.value(at)))));
  const series = lines.map((line, i) => ({ label: line.label, colour: COLOURS[i % COLOURS.length], dash: DASHES[i % DASHES.length] }));
  if (columns.every((column) => column.every((value) => value === null))) byId("lines").hidden = true;
  else {
    chart("lines", [sizes, ...columns], {
      series, height: 380, logX: shown.logX, logY: shown.logY,
      onpoint: (index) => renderValues(metric, lines, sizes[index]),
      x: { label: symbol.name, format: (value) => grouped(Math.round(value)) },
      y: { label: metric.label, format: (value) => said(metric, value) },
    });
  }
  show("legend", legend(series));
  renderLeast(metric, lines, sizes, symbol);
}

function renderValues(metric, lines, size = null) {
  const symbol = along();
  const at = symbol && size !== null ? alongAt(symbol.name, size) : last.masked.length ? null : pointAt(last.sizes);
  const where = data.symbols.filter((each) => each !== symbol).map(({ name }) => `${name} = ${typed[name]}`);
  if (symbol) where.unshift(`${symbol.name} = ${size === null ? typed[symbol.name] : grouped(size)}`);
  byId("values-title").textContent = where.length ? `At ${where.join(", ")}` : "Values";
  const values = lines.map((line) => (at === null ? null : line.value(at)));
  const known = values.filter((value) => value !== null);
  const least = known.length ? known.reduce((best, value) => (value < best ? value : best)) : null;
  const rows = lines.map((line, i) => {
    const value = values[i];
    const exactly = html("span", { "data-line": line.label }, value === null ? "unknown here" : metric.rate ? String(value) : grouped(value));
    const times_ = value === null || !Number(least) ? "" : value === least ? "least" : `${threeDigits(Number(value) / Number(least))} times`;
    return [line.label, value === null ? "–" : said(metric, value), exactly, times_];
  });
  show("values", table("Values at this point", [metric.rate ? "model or machine" : "model", "about", metric.rate ? metric.unit : "exactly", "beside the least"], rows, [3]));
}

function renderLeast(metric, lines, sizes, symbol) {
  const spans = spansOfLeast(lines, symbol.name, sizes, symbol.step);
  const rows = spans.map(({ from, to, least }) => [
    from === to ? `${symbol.name} = ${grouped(from)}` : `${symbol.name} from ${grouped(from)} to ${grouped(to)}`,
    least === "" ? "unknown" : least.split(",").map((i) => lines[i].label).join(" and ") + (least.includes(",") ? " alike" : ""),
  ]);
  show("least",
    table("Which needs least", ["sizes", `least ${metric.label}`], rows, [1]),
    html("p", { class: "note" }, `Found by computing ${sizes.length} sizes and narrowing each change down to the size at which it happens.`),
    data.proven.length > 0 && html("h3", {}, "Proven when this page was made"),
    data.proven.length > 0 && html("ul", {}, ...data.proven.map((line) => html("li", {}, line))));
}

// -- controls --------------------------------------------------------------------------------------------------------
function buildChoices() {
  const check = (id, label, key) => html("p", {}, html("label", {}, html("input", { id, type: "checkbox", checked: shown[key], onchange: (event) => {
    shown[key] = event.target.checked;
    changed();
  } }), ` ${label}`));
  const end = (id, label, key) => html("p", { class: "picker" }, html("label", { for: id }, label), html("input", {
    id, type: "text", inputmode: "numeric", placeholder: "automatic", oninput: (event) => {
      const number_ = Number(event.target.value.replace(/[,_]/g, ""));
      shown[key] = event.target.value.trim() && Number.isSafeInteger(number_) && number_ > 0 ? number_ : null;
      changed();
    },
  }));
  show("pickers",
    picker("metric", "metric", METRICS.map(({ label }) => label), shown.metric, (i) => {
      shown.metric = i;
      changed();
    }),
    data.symbols.length > 1 && picker("along", "along", data.symbols.map(({ name }) => name), shown.wrt, (i) => {
      shown.wrt = i;
      changed();
    }),
    data.symbols.length > 0 && end("from", "from", "from"), data.symbols.length > 0 && end("to", "to", "to"),
    check("log-x", "logarithmic along", "logX"), check("log-y", "logarithmic upwards", "logY"));
}

function renderNotes() {
  const guards = (model) => [...new Set([...model.guards, ...model.memoryGuards])].map((number_) => data.conditions[number_]);
  const about = (model) => {
    const unknown = Object.entries(model.unknown).map(([op, count]) => `${op} ×${count}`).join(", ");
    return html("li", {}, html("b", {}, model.name), `: accounting ${model.accounting}, widths ${model.widths}, standing ${model.standings[0]}` +
      (unknown ? `; no cost rule for ${unknown}: its totals are lower bounds` : "") +
      (guards(model).length ? `; holds where ${guards(model).join("; ")}` : ""));
  };
  const dropped = data.machines.map((machine, i) =>
    [machine.name, [...new Set(data.models.flatMap((model) => model.machines[i].flatMap((region) => region.dropped)))]]);
  show("notes", html("ul", {}, ...data.models.map(about)),
    ...dropped.filter(([, terms]) => terms.length).flatMap(([name, terms]) => [
      html("h3", {}, `Left out of times and energy on ${name}`), html("ul", { class: "note" }, ...terms.map((term) => html("li", {}, term)))]),
    ...howMade());
}

const names = data.models.map(({ name }) => name);
byId("model").textContent = names.length > 1 ? `${names.slice(0, -1).join(", ")} and ${names[names.length - 1]}` : names[0];
const lower = data.models.filter(({ unknown }) => Object.keys(unknown).length);
show("caveats", lower.length > 0 && html("p", {}, `Lower bounds only, for want of cost rules: ${lower.map(({ name }) => name).join(", ")}`));
byId("caveats").hidden = !lower.length;
buildSizes(changed);
buildChoices();
buildTheme(recoloured);
renderNotes();
begin(() => {
  last = resolve(typed);
  last.masked = Object.entries(last.problems).map(([name, why]) => `${name} ${why}`);
  refreshSizes(last);
  const metric = METRICS[shown.metric];
  const lines = linesOf(metric);
  renderLines(metric, lines);
  renderValues(metric, lines);
});
