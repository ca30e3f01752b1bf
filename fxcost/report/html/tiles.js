// The peak and the MACs of a run in patches at any sizes: the sweep over each stage that Python chose plans with, from its
// end towards the input, in integers of any size. What no patches can be cut of is said in words.

const [BORDER, RUN, JOIN, KEEP, MOMENTS] = [0, 1, 2, 3, 4];

// The graphs in whose order plans run, as Python packed them.
const scenes = (data.patches?.scenes ?? []).map((packed) => {
  const axes = packed.axes.map(([kernel, stride, dilation, before, after]) => ({
    kernel: BigInt(kernel), stride: BigInt(stride), dilation: BigInt(dilation), before: BigInt(before), after: BigInt(after),
    reach: BigInt(dilation * (kernel - 1) + 1),
  }));
  const nodes = packed.nodes.map(([position, name, result, operands, moving, writes, flags, row, column]) => [position, {
    name, result, operands, moving, writes, axes: [axes[row], axes[column]], window: flags & 1, average: flags & 2, counted: flags & 4,
    divisor: flags & 8, lowest: flags & 16,
  }]);
  return { ...packed, macs: list(packed.macs), nodes: new Map(nodes) };
});

// The graph of a plan at a point: blocks of memory with their lives, maps with rows, columns and bits of one place.
function sceneAt(scene, values, holds) {
  const found = scene.cases.find((each) => holds(each.when));
  const [sizes, firsts, lasts] = [found.size, found.first, found.last].map(list);
  const { rows, columns, elements, bits } = scene;
  const here = {
    scene, values, block: found.of,
    lives: sizes.map((size, i) => ({ size: values[size], first: firsts[i], last: lasts[i] })),
    maps: rows.map((row, i) => row >= 0 && mapOf(values[row], values[columns[i]], values[elements[i]], BigInt(bits[i]))),
    base: scene.base.map(([when, of]) => (of >= 0 && (when < 0 || holds(when)) ? of : -1)),
    whole: memory(found, values, scene.steps),
  };
  here.owner = (value) => {
    let at = value;
    while (here.base[at] >= 0) at = here.base[at];
    return at;
  };
  return here;
}

function mapOf(rows, columns, elements, bits) {
  const perPlace = bits * (elements / max(1n, rows * columns));
  return { rows, columns, bytes: (area) => (area * perPlace + 7n) / 8n };
}

// Peak bytes and MACs of the whole run with the stages of a plan; or `reason`, why they cannot be cut here.
function planAt(here, plan, stageOf) {
  let { start: peak } = here.whole;
  let macs = here.scene.macs.reduce((sum, each) => sum + here.values[each], 0n);
  let next = 0;
  const outside = (until) => {
    for (; next < until; next++) peak = max(peak, here.whole.bytes[next]);
  };
  const stages = [];
  for (const cut of plan.cuts) {
    const stage = stageOf(cut);
    if (stage.reason) return stage;
    outside(cut[0]);
    next = cut[1];
    peak = max(peak, stage.peak);
    for (let k = cut[0]; k < cut[1]; k++) macs -= here.values[here.scene.macs[k]];
    macs += stage.macs;
    stages.push(stage);
  }
  outside(here.scene.steps);
  return { peak, macs, stages };
}

// All plans at the state of the page, each computed when it is asked for; `why` says why nothing is known there.
function plansAt(state) {
  const { patches } = data;
  const missing = state.masked.length || !state.region ? "nothing is known at these sizes" :
    patches.region !== state.region.number ? "another graph runs at these sizes" :
      !patches.guards.every(state.region.holds) ? "what shares memory is not known at these sizes" : "";
  if (missing) return { why: missing };
  const { values, holds } = state.region;
  const here = scenes.map((scene) => once(() => sceneAt(scene, values, holds)));
  const known = new Map();
  const stageOf = (number) => (cut) => {
    const key = `${number}:${cut}`;
    if (!known.has(key)) known.set(key, stageAt(here[number](), cut));
    return known.get(key);
  };
  const plain = here[0]();
  return {
    why: "", plainPeak: plain.whole.peak, plainMacs: added(plain.scene.macs.map((each) => values[each])), bound: values[patches.boundFormula],
    plans: patches.plans.map((plan) => once(() => planAt(here[Number(plan.order)](), plan, stageOf(Number(plan.order))))),
  };
}

// -- ranges of rows or columns: [firsts, stops], one of each for every strip -----------------------------------------
const sameSpans = (one, other) => one.every((span, axis) => span.every((edges, end) => edges.every((edge, i) => edge === other[axis][end][i])));
const lengths = ([firsts, stops]) => stops.map((stop, i) => stop - firsts[i]);
const added = (numbers) => numbers.reduce((sum, each) => sum + each, 0n);

function partOf(size, count) {
  const edges = Array.from({ length: count + 1 }, (_, i) => (BigInt(i) * size) / BigInt(count));
  return [edges.slice(0, -1), edges.slice(1)];
}

function hulls(one, other) {
  if (!one) return other;
  return one.map(([firsts, stops], axis) =>
    [firsts.map((first, i) => min(first, other[axis][0][i])), stops.map((stop, i) => max(stop, other[axis][1][i]))]);
}

// What results need of an operand along one axis, with padding in front and behind; null where a patch reads padding alone.
function cutOf(axis, made, size, closed) {
  const firsts = made[0].map((first) => first * axis.stride - axis.before);
  const stops = made[1].map((stop) => (stop - 1n) * axis.stride - axis.before + axis.reach);
  const gaps = !closed && (axis.dilation > 1n || axis.stride > axis.reach);
  const span = [[], []];
  for (let i = 0; i < firsts.length; i++) {
    const inside = gaps && (firsts[i] < 0n || stops[i] > size) ? reached(axis, made[0][i], made[1][i], size) : [max(firsts[i], 0n), min(stops[i], size)];
    if (inside[0] >= inside[1]) return null;
    span[0].push(inside[0]);
    span[1].push(inside[1]);
  }
  return { span, front: span[0].map((first, i) => first - firsts[i]), behind: stops.map((stop, i) => stop - span[1][i]) };
}

// First and one past the last element of the map that some tap of the results looks at: windows step over the border.
function reached(axis, first, stop, size) {
  let [low, high] = [null, null];
  for (let tap = 0n; tap < axis.kernel; tap++) {
    const shift = tap * axis.dilation - axis.before;
    const from = max(first, -div(shift, axis.stride));
    const to = min(stop - 1n, div(size - 1n - shift, axis.stride));
    if (from > to) continue;
    const [least, most] = [from * axis.stride + shift, to * axis.stride + shift + 1n];
    low = low === null ? least : min(low, least);
    high = high === null ? most : max(high, most);
  }
  return low === null ? [0n, 0n] : [low, high];
}

// Where the operator's own padding, the same on both sides, would not make just these results.
function bordersOf(node, axis, cut, made) {
  return cut.front.map((pad, i) => {
    if (!node.window) return false;
    const length = cut.span[1][i] - cut.span[0][i];
    const behind = cut.behind[i];
    let fits = behind <= pad && div(length + 2n * pad - axis.reach, axis.stride) + 1n === made[1][i] - made[0][i];
    if (node.lowest || node.average) fits &&= pad * 2n <= axis.kernel;
    if (node.average && !node.counted && !node.divisor) fits &&= pad === 0n && behind === 0n;
    if (node.average && !node.divisor) fits &&= behind <= axis.after;
    return !fits;
  });
}

// -- a stage ---------------------------------------------------------------------------------------------------------
// Peak bytes and MACs of nodes `first` to before `stop` in rows x columns patches. `cached` keeps halos.
function stageAt(here, [first, stop, rows, columns, cached]) {
  const { scene, lives, maps, base, owner } = here;
  const patches = rows * columns;
  const all = (value) => new Array(patches).fill(value);
  const grid = (make) => Array.from({ length: patches }, (_, p) => make(Math.floor(p / columns), p % columns));
  const areas = ([high, wide]) => grid((r, c) => high[r] * wide[c]);
  const most = (one, other) => one.map((each, p) => (other[p] > each ? other[p] : each));
  const offset = MOMENTS * first;
  const changes = Array.from({ length: patches }, () => new Array(MOMENTS * (stop - first) + 1).fill(0n));
  const [needs, ends, tiles, written, placed] = [new Map(), new Map(), new Map(), new Map(), new Map()];
  const whole = new Set();
  const outputs = [];
  let [stitched, macs, floor] = [0n, 0n, stop];

  const pile = (from, until, sizes) => {
    for (let p = 0; p < patches; p++) {
      const [low, high] = [Math.max(from - offset, 0), until[p] - offset + 1];
      if (high > low && sizes[p]) {
        changes[p][low] += sizes[p];
        changes[p][high] -= sizes[p];
      }
    }
  };
  const use = (value, moments) => ends.set(value, most(ends.get(value) ?? all(0), moments));
  const place = (value, position) => (here.block[value] >= 0 ? here.block[value] : -1 - position);

  const operands = (position, node, made) => {
    let found = null;
    for (const [index, operand] of node.operands.entries()) {
      if (!node.moving.includes(index)) {
        whole.add(operand);
        use(operand, all(MOMENTS * position + RUN));
        continue;
      }
      const map = maps[operand];
      const cut = node.axes.map((axis, i) => cutOf(axis, made[i], i ? map.columns : map.rows, cached));
      if (!cut[0] || !cut[1]) return false;
      const explicit = cut.map((each, i) => bordersOf(node, node.axes[i], each, made[i]));
      needs.set(operand, hulls(needs.get(operand), cut.map(({ span }) => span)));
      const bordered = grid((r, c) => !scene.direct && (explicit[0][r] || explicit[1][c]));
      use(operand, bordered.map((each) => MOMENTS * position + (each ? BORDER : RUN)));
      const laid = cut.map((each, i) => lengths(each.span).map((length, k) => length + (explicit[i][k] ? each.front[k] + each.behind[k] : 0n)));
      pile(MOMENTS * position + BORDER, all(MOMENTS * position + RUN), areas(laid).map((area, p) => (bordered[p] ? map.bytes(area) : 0n)));
      found = true;
    }
    return found ?? true;
  };

  const own = (block, result, position, size, until) => {
    const tile = tiles.get(block) ?? { bytes: all(0n), end: until, piece: null };
    tile.bytes = most(tile.bytes, size);
    tile.end = most(tile.end, until);
    tiles.set(block, tile);
    if (base[result] >= 0) return; // a view: its memory comes with the value that it is a view of
    if (tile.piece) pile(tile.piece[0], tile.piece[1], tile.piece[2].map((each) => -each));
    tile.piece = [MOMENTS * position + RUN, tile.end, tile.bytes];
    pile(...tile.piece);
  };

  const remember = (position, result, need, made, joined, store) => {
    const [map, block] = [maps[result], place(result, position)];
    let until = most(ends.get(result) ?? all(0), all(MOMENTS * position + RUN));
    ends.delete(result);
    if (store >= 0) until = most(until, all(MOMENTS * store + RUN));
    const inPlace = placed.has(block) && sameSpans(made, placed.get(block));
    const size = areas(made.map(lengths)).map((area) => (inPlace ? 0n : map.bytes(area)));
    if (!joined.some(Boolean)) {
      own(block, result, position, size, until);
      return;
    }
    const kept = keptBytes(need, made, rows, columns, map);
    const last = all(MOMENTS * (stop - 1) + KEEP);
    pile(0, all(MOMENTS * position + JOIN), kept.taken);
    pile(0, last, kept.waiting);
    pile(MOMENTS * position + KEEP, last, kept.added);
    pile(MOMENTS * position + JOIN, until, areas(need.map(lengths)).map((area, p) => (joined[p] ? map.bytes(area) : 0n)));
    own(block, result, position, size, until.map((each, p) => (joined[p] ? MOMENTS * position + JOIN : each)));
  };

  const add = (position) => {
    const node = scene.nodes.get(position);
    const { result } = node;
    const map = maps[result];
    if (whole.has(result)) return "every patch reads it whole";
    const stored = scene.last[result] >= stop;
    let need = needs.get(result);
    for (const value of node.writes) if (needs.has(value)) need = hulls(need, needs.get(value));
    const ownPart = stored && [partOf(map.rows, rows), partOf(map.columns, columns)];
    if (stored) {
      if (map.rows < BigInt(rows) || map.columns < BigInt(columns)) return `${map.rows} x ${map.columns} places cannot be cut ${rows} x ${columns}`;
      need = hulls(need, ownPart);
    }
    if (!need) return "nothing reads it";
    let [made, joined] = [need, all(false)];
    if (cached) {
      made = need.map(([firsts, stops]) => [firsts.map((low, i) => (i ? max(low, stops[i - 1]) : low)), stops]);
      joined = grid((r, c) => made[0][0][r] > need[0][0][r] || made[1][0][c] > need[1][0][c]);
      if (made.some((span) => lengths(span).some((length) => length <= 0n))) return "a patch would make nothing of it";
      if (joined.some(Boolean) && written.has(owner(result))) return "parts of it are kept before they are written again";
    }
    if (!operands(position, node, made)) return "a patch would read padding alone";
    const [high, wide] = made.map((span) => added(lengths(span)));
    macs += (here.values[scene.macs[position]] * high * wide) / (map.rows * map.columns);
    for (const value of node.writes) if (!written.has(owner(value))) written.set(owner(value), position);
    const root = owner(result);
    if (node.writes.length || stored) floor = Math.min(floor, scene.defined[root]);
    if (floor < 0) return "it writes into what the caller passes, or is a view of it";
    const after = Math.max(position, written.get(root) ?? position);
    if (stored) {
      if (outputs.some((other) => owner(other) === root)) return "two values that share memory are read later";
      outputs.push(result);
      const block = here.block[result];
      const fixed = block >= 0 && lives[block].first >= 0 && scene.defined[root] >= 0;
      stitched += fixed ? lives[block].size : map.bytes(map.rows * map.columns);
      if (scene.direct && !cached && sameSpans(need, ownPart)) placed.set(place(result, position), ownPart);
    }
    remember(position, result, need, made, joined, stored && !scene.direct ? after : -1);
    return "";
  };

  for (let position = stop - 1; position >= first; position--) {
    const reason = add(position);
    if (reason) return { reason: `${word(scene.nodes.get(position).name)}: ${reason}` };
  }
  if (first > floor || !outputs.length) return { reason: `${word(scene.nodes.get(first).name)}: no stage begins there` };
  return { macs, peak: highest(here, changes, stop, first, stitched, ends, tiles) };
}

// Bytes of kept parts for every patch: used there for the last time, kept through it, and kept from it on.
function keptBytes(need, made, rows, columns, map) {
  const shared = need.map(([firsts, stops]) => stops.map((stop, i) => (i + 1 < stops.length ? max(stop - firsts[i + 1], 0n) : 0n)));
  const [high, wide] = made.map(lengths);
  const below = (r, c) => map.bytes(shared[0][r] * wide[c]); // rows for the patches below
  const beside = (r, c) => map.bytes(high[r] * shared[1][c]); // columns for the patch to the right
  const until = made[1][1].map((stop) => need[1][0].findLastIndex((low) => low < stop));
  const [taken, waiting, added_] = [[], [], []];
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) {
      let [last, through] = [c ? beside(r, c - 1) : 0n, 0n];
      for (let other = 0; other < columns; other++) {
        if (r && until[other] === c) last += below(r - 1, other);
        if (r && c < until[other]) through += below(r - 1, other); // of the patches above
        if (other < c) through += below(r, other); // of this row, for those below
      }
      taken.push(last);
      waiting.push(through);
      added_.push(below(r, c) + beside(r, c));
    }
  }
  return { taken, waiting, added: added_ };
}

// The most bytes alive at any moment of any patch, with what waits around the stage; the last patch frees what it reads.
function highest({ lives, block }, changes, stop, first, stitched, ends, tiles) {
  const final = changes.length - 1;
  const freed = new Array(MOMENTS * (stop - first)).fill(0n);
  let [through, entering] = [0n, 0n];
  lives.forEach((life, index) => {
    if (life.first >= first || life.last < first) return;
    if (life.last >= stop) {
      through += life.size;
      return;
    }
    entering += life.size;
    let until = tiles.has(index) ? tiles.get(index).end[final] : -1;
    for (const [value, moments] of ends) if (block[value] === index) until = Math.max(until, moments[final]);
    for (let moment = 0; moment <= until - MOMENTS * first; moment++) freed[moment] += life.size;
  });
  let peak = 0n;
  changes.forEach((steps, patch) => {
    let now = through + stitched;
    freed.forEach((waiting, moment) => {
      now += steps[moment];
      peak = max(peak, now + (patch === final ? waiting : entering));
    });
  });
  return peak;
}
