// The model at a point: sizes, totals, nodes, memory over execution and machines, out of `data` and `formulas`.
// Counts are BigInts and exact; seconds and joules are floats, added up in the order in which Python adds them.

const data = JSON.parse(document.getElementById("data").textContent);

const list = (column) => data.columns[column];
const word = (number) => data.strings[number];

// -- sizes -----------------------------------------------------------------------------------------------------------
const MAX_DIGITS = 30;
const isNumber = (text) => /^\s*\d[\d_,]*\s*$/u.test(text);

// What was typed for every symbol (a number, or a formula in other symbols) as sizes, and what is wrong with it by name.
function resolve(typed) {
  const sizes = {};
  const problems = {};
  const open = new Set();
  const size = (name) => {
    if (name in sizes) return sizes[name];
    if (!(name in typed)) throw new RangeError(`there is no size ${name}`);
    if (open.has(name)) throw new RangeError(`${name} follows itself`);
    open.add(name);
    try {
      sizes[name] = valueOf(read(isNumber(typed[name]) ? typed[name].replaceAll(",", "") : typed[name]), size);
    } finally {
      open.delete(name);
    }
    return sizes[name];
  };
  for (const symbol of data.symbols) {
    try {
      problems[symbol.name] = outside(symbol, size(symbol.name));
    } catch (error) {
      problems[symbol.name] = error.message;
    }
    if (!problems[symbol.name]) delete problems[symbol.name];
  }
  return { sizes, problems };
}

function outside(symbol, size) {
  if (size.toString().length > MAX_DIGITS) return `more than ${MAX_DIGITS} digits`;
  const low = size < BigInt(symbol.min);
  if (low || (symbol.max !== null && size > BigInt(symbol.max))) return `is to be ${rangeText(symbol)}`;
  if (size % BigInt(symbol.step) !== 0n) return `is to be a multiple of ${symbol.step}`;
  return "";
}

function rangeText(symbol) {
  const step = symbol.step > 1 ? `, a multiple of ${symbol.step}` : "";
  return (symbol.max === null ? `at least ${symbol.min}` : `from ${grouped(symbol.min)} to ${grouped(symbol.max)}`) + step;
}

// -- conditions and totals -------------------------------------------------------------------------------------------
// A test of conditions at a point, each evaluated at most once. One that is defined nowhere here does not hold.
function conditionsAt(args) {
  const known = new Map();
  return (number) => {
    if (!known.has(number)) {
      let holds = false;
      try {
        holds = formulas.conditions[number](...args);
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
      }
      known.set(number, holds);
    }
    return known.get(number);
  };
}

// Everything at a point under a setting; `masked` says why nothing is known there, in words.
function evaluate(typed, settingNumber) {
  const { sizes, problems } = resolve(typed);
  const setting = data.settings[settingNumber];
  const masks = Object.entries(problems).map(([name, why]) => `${name} ${why}`);
  const found = { sizes, problems, setting, settingNumber, guards: [], masked: masks, totals: [], region: null };
  const blank = () => data.quantities.map(() => null);
  if (masks.length) return { ...found, totals: blank() };
  const args = data.symbols.map((symbol) => sizes[symbol.name]);
  const holds = conditionsAt(args);
  let values;
  try {
    values = formulas.totals(...args);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return { ...found, masked: ["the formulas divide by zero there"], totals: blank() };
  }
  const broken = (numbers) => numbers.filter((number) => !holds(number));
  const wrong = broken(setting.guards);
  const wrongInMemory = broken(setting.memoryGuards);
  found.guards = [...new Set([...wrong, ...wrongInMemory])].map((number) => data.conditions[number]);
  found.totals = data.quantities.map((_, i) =>
    (setting.inMemory[i] ? wrongInMemory : wrong).length ? null : values[setting.values[i]]);
  if (data.regions) found.region = regionAt(args, holds, settingNumber);
  return found;
}

function total(state, name) {
  return state.totals[data.quantities.findIndex((quantity) => quantity.name === name)];
}

// -- the graph that runs ---------------------------------------------------------------------------------------------
function regionAt(args, holds, settingNumber) {
  const region = data.regions.find((each) => each.when === null || holds(each.when));
  const number = data.regions.indexOf(region);
  if (!region.guards.every(holds)) return null;
  let values;
  try {
    values = formulas.regions[number](...args);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return null;
  }
  const part = region.parts[settingNumber];
  const held = heldAt(region, values);
  const inMemory = part.guards.every(holds);
  return {
    region, number, part, values, held, holds,
    traced: inMemory ? memory(part.cases.find((each) => holds(each.when)), values, list(region.nodes.name).length) : null,
    best: inMemory && part.best && holds(part.best.case.when) ? bestMemory(part.best, values) : null,
    machines: inMemory ? part.machines.map((machine) => machineAt(machine, region, values, held)) : [],
  };
}

// -- memory over execution -------------------------------------------------------------------------------------------
// Bytes alive while each step runs; before the first one all inputs are there. `alive(k)` lists the blocks of a step.
function memory(packed, values, steps, order = null, skip = 0) {
  const [blocks, sizes, firsts, lasts] = [packed.block, packed.size, packed.first, packed.last].map(list);
  const change = new Array(steps + 2).fill(0n);
  blocks.forEach((_, i) => {
    const size = values[sizes[i]];
    change[firsts[i] + 1] += size;
    if (lasts[i] + 2 < change.length) change[lasts[i] + 2] -= size;
  });
  let now = 0n;
  const bytes = change.slice(0, steps + 1).map((step) => (now += step)); // bytes[k + 1] belongs to step k
  const shown = bytes.slice(1 + skip);
  const start = bytes[0];
  const peak = shown.reduce((most, each) => (each > most ? each : most), start);
  const alive = (step) => blocks
    .map((block, i) => ({ block: word(block), bytes: values[sizes[i]], first: firsts[i], last: lasts[i] }))
    .filter((each) => each.first <= step + skip && step + skip <= each.last && each.bytes > 0n)
    .sort((a, b) => (a.bytes > b.bytes ? -1 : a.bytes < b.bytes ? 1 : a.first - b.first));
  const highest = start === peak ? -1 : shown.indexOf(peak);
  return { start, bytes: shown, peak, highest, alive, node: (step) => (order ? order[step + skip] : step) };
}

function bestMemory(best, values) {
  const order = list(best.order);
  return memory(best.case, values, order.length, order, best.folded);
}

// -- machines --------------------------------------------------------------------------------------------------------
// Terms of time and energy at a point: the sides of one term, and the value of a sum of terms.
function ratesAt(packed, values, held) {
  const counts = ([, , inside, outside]) => (!inside || held[inside - 1]) && !(outside && held[outside - 1]);
  const add = (loads) => loads.reduce((sum, load) => (counts(load) ? sum + Number(values[load[0]]) / packed.rates[load[1]] : sum), 0);
  const sides = (number) => {
    const [compute, memory_, fixed] = packed.terms[number];
    return { compute: add(compute), memory: add(memory_), fixed };
  };
  const term = (number) => {
    const { compute, memory: memory_, fixed } = sides(number);
    return Math.max(compute, memory_) + fixed;
  };
  return { sides, formula: (terms) => (terms === null ? null : terms.reduce((sum, [number, count]) => sum + count * term(number), 0)) };
}

const heldAt = (packed, values) => packed.residences.map(([need, capacity]) => values[need] <= BigInt(capacity));

function machineAt(machine, region, values, held) {
  const { sides, formula } = ratesAt(region, values, held);
  const applies = ([, , inside, outside]) => !((inside && !held[inside - 1]) || (outside && held[outside - 1]));
  const named = (formulasByName) => Object.fromEntries(Object.entries(formulasByName).map(([name, terms]) => [name, formula(terms)]));
  const fits = machine.fits.map(([what, level, need, have, decides]) => {
    const verdict = have === null ? "unknown" : values[need] <= BigInt(have) ? "yes" : "no";
    return { what: word(what), level: word(level), need: values[need], have: have === null ? null : BigInt(have), decides, verdict };
  });
  const deciding = fits.filter((row) => row.decides).map((row) => row.verdict);
  const verdict = ["no", "unknown", "yes"].find((each) => deciding.includes(each)) ?? "yes";
  return {
    latencies: named(machine.latencies), energy: formula(machine.energy), parts: named(machine.parts),
    fits, verdict, calibration: machine.calibration,
    dropped: [...new Set(machine.missing.filter(applies).map((missing) => word(missing[1])))],
    groups: once(() => groupsAt(machine, values, sides, applies)),
  };
}

function once(make) {
  let made;
  return () => (made ??= make());
}

// Rows of the roofline: operations, bytes, and the larger of the two times.
function groupsAt(machine, values, sides, applies) {
  const packed = machine.groups;
  const [nodes, sizes, classes, terms, lacks] = [packed.node, packed.size, packed.class, packed.term, packed.lacks].map(list);
  const [macs, others, reads, writes, weights] =
    [packed.macs, packed.other_ops, packed.read_bytes, packed.write_bytes, packed.weight_bytes].map(list);
  return nodes.map((node, i) => {
    const { compute, memory: memory_ } = sides(terms[i]);
    const lacking = packed.lacking[lacks[i]].map((number) => machine.missing[number]).filter(applies).map(([side]) => side);
    const computes = word(classes[i]) === "collectives" ? "interconnect" : "compute";
    const longer = compute >= memory_ ? computes : "memory";
    const other = longer === "memory" ? "compute" : "memory";
    const operations = 2 * Number(values[macs[i]]) + Number(values[others[i]]);
    const bytes = Number(values[reads[i]] + values[writes[i]] + values[weights[i]]);
    return {
      node, size: sizes[i], family: word(classes[i]), operations, bytes,
      seconds: Math.max(compute, memory_), binds: lacking.includes(other) ? "unknown" : longer, lacking,
    };
  });
}
