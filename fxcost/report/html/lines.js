// Several models as functions of one size: exact values of a metric at any point, and which of them is least where.

const UNITS_OF_RATES = { energy: "J" };
const SAMPLES = 160;

// What can be drawn: every quantity, and on machines every latency and the energy.
const METRICS = [
  ...data.quantities.map(({ name, label, unit }) => ({ name, label, unit })),
  ...data.rates.map((name) => ({ name, label: name === "energy" ? name : `${name} latency`, unit: UNITS_OF_RATES[name] ?? "s", rate: true })),
];

// The lines of a metric: one for each model, and for times and energy one for each machine as well.
function linesOf(metric) {
  if (!metric.rate) return data.models.map((model) => ({ label: model.name, value: (at) => quantityAt(model, metric.name, at) }));
  return data.models.flatMap((model) => data.machines.map((machine, i) => ({
    label: [data.models.length > 1 && model.name, data.machines.length > 1 || data.models.length === 1 ? machine.name : ""].filter(Boolean).join(" on "),
    value: (at) => rateAt(model.machines[i], metric.name, at),
  })));
}

// A point of the page: sizes, conditions, and the value of each table of formulas, computed when asked for.
function pointAt(sizes) {
  const args = data.symbols.map((symbol) => sizes[symbol.name]);
  const known = new Map();
  return {
    holds: conditionsAt(args),
    table: (number) => {
      if (!known.has(number)) known.set(number, valuesOf(formulas.tables[number], args));
      return known.get(number);
    },
  };
}

// Null where a formula divides by zero.
function valuesOf(table_, args) {
  try {
    return table_(...args);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return null;
  }
}

function quantityAt(model, name, at) {
  const i = data.quantities.findIndex((quantity) => quantity.name === name);
  const guards = model.inMemory[i] ? model.memoryGuards : model.guards;
  const values = at.table(model.table);
  return values && guards.every(at.holds) ? values[model.values[i]] : null;
}

function rateAt(regions, name, at) {
  const region = regions.find((each) => each.when === null || at.holds(each.when));
  if (!region.guards.every(at.holds)) return null;
  const values = at.table(region.table);
  return values && ratesAt(region, values, heldAt(region, values)).formula(region.formulas[name]);
}

// Sizes along one symbol: the others as typed, which may follow it. Null where one of them is then out of its range.
function alongAt(wrt, size) {
  const { sizes, problems } = resolve({ ...typed, [wrt]: String(size) });
  return Object.keys(problems).length ? null : pointAt(sizes);
}

// Evenly spread sizes from low to high, on a logarithmic axis in even ratios; multiples where only those are allowed.
function samples(symbol, low, high, logarithmic) {
  const found = new Set();
  for (let i = 0; i <= SAMPLES; i++) {
    const share = i / SAMPLES;
    const size = logarithmic ? low * (high / low) ** share : low + (high - low) * share;
    found.add(Math.round(size / symbol.step) * symbol.step);
  }
  return [...found].filter((size) => size >= low && size <= high).sort((a, b) => a - b);
}

// Which lines are least at a size, by number: several where they are equal, none where no value is known.
function leastAt(lines, at) {
  const values = lines.map((line) => (at === null ? null : line.value(at)));
  const known = values.filter((value) => value !== null);
  if (!known.length) return "";
  const least = known.reduce((best, value) => (value < best ? value : best));
  return values.flatMap((value, i) => (value === least ? [i] : [])).join();
}

// Spans of sizes with the lines that are least there. A change between two samples is narrowed down to the size at which
// it happens; what changes and changes back between two samples is not seen.
function spansOfLeast(lines, wrt, sizes, step) {
  const answer = (size) => leastAt(lines, alongAt(wrt, size));
  const spans = [];
  for (const size of sizes) {
    const here = answer(size);
    const before = spans[spans.length - 1];
    if (!before) spans.push({ from: size, to: size, least: here });
    else if (before.least === here) before.to = size;
    else {
      let [low, high] = [before.to, size];
      while (high - low > step) {
        const middle = low + Math.floor((high - low) / step / 2) * step;
        if (answer(middle) === before.least) low = middle;
        else high = middle;
      }
      before.to = low;
      spans.push({ from: high, to: size, least: answer(high) });
      if (spans[spans.length - 1].least !== here) spans.push({ from: Math.min(high + step, size), to: size, least: here });
    }
  }
  return spans;
}
