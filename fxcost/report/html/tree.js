// The model as a tree of modules and operators: sortable, searchable, foldable, equal neighbours in one row ("×12").

const COLUMNS = [
  { key: "params", label: "params", unit: "elements" },
  { key: "macs", label: "MACs", unit: "" },
  { key: "other_ops", label: "other ops", unit: "" },
  { key: "traffic", label: "traffic", unit: "bytes" },
  { key: "seconds", label: "time", unit: "s" },
];
const MOST_ROWS = 1500;
const MANY = 24;

const view = { open: null, sort: "", descending: true, search: "", focus: "", fold: true };

// -- the tree with its numbers ---------------------------------------------------------------------------------------
function treeOf(state) {
  return (state.tree ??= growTree(state));
}

function growTree(state) {
  const { region, part, values, machines } = state.region;
  const { nodes, modules } = region;
  const column = (packed, name) => list(packed[name]);
  const times = new Map((machines[picked.machine]?.groups() ?? []).map((group) => [group.node, group]));
  const [paths, levels, calls, owns] = ["path", "level", "calls", "params"].map((name) => column(modules, name));
  const rows = paths.map((path, i) => ({
    key: `m${i}`, path: word(path), label: word(path).split(".").pop() || data.model, level: levels[i], calls: calls[i], children: [],
    own: owns[i], sums: { ...nothing(), params: values[owns[i]] }, first: Infinity, op: "",
  }));
  const chain = [];
  rows.forEach((row) => {
    chain.length = row.level;
    row.parent = chain[row.level - 1] ?? null;
    if (row.parent) row.parent.children.push(row);
    chain.push(row);
  });
  const [names, ops, homes, shapes, dtypes, known, macs, others, texts] =
    ["name", "op", "module", "shape", "dtype", "known", "macs", "other_ops", "formula"].map((name) => column(nodes, name));
  const [reads, writes, weights] = ["read_bytes", "write_bytes", "weight_bytes"].map((name) => column(part, name));
  names.forEach((name, i) => {
    const home = rows[homes[i]];
    home.children.push({
      key: `n${i}`, path: word(name), label: word(name), parent: home, children: [], first: i, op: word(ops[i]), unknown: !known[i],
      shape: word(shapes[i]), dtype: word(dtypes[i]), text: word(texts[i]), same: [ops, shapes, dtypes, macs, others, reads, writes, weights].map((each) => each[i]).join(),
      sums: {
        params: null, macs: values[macs[i]], other_ops: values[others[i]],
        traffic: values[reads[i]] + values[writes[i]] + values[weights[i]], seconds: times.get(i)?.seconds ?? 0,
      },
    });
  });
  addUp(rows[0]);
  number(rows[0], new Map());
  return rows[0];
}

const nothing = () => ({ params: 0n, macs: 0n, other_ops: 0n, traffic: 0n, seconds: 0 });

function addUp(row) {
  for (const child of row.children) {
    if (!child.op) addUp(child);
    for (const { key } of COLUMNS) if (child.sums[key] !== null) row.sums[key] += child.sums[key];
    row.first = Math.min(row.first, child.first);
    row.unknown ||= child.unknown;
  }
  row.children.sort((a, b) => a.first - b.first);
  const [only] = row.children;
  if (row.children.length === 1 && only.op) { // a module that is one operator is one row
    Object.assign(row, { op: only.op, shape: only.shape, dtype: only.dtype, text: only.text, unknown: only.unknown, same: only.same, children: [] });
  }
}

// -- equal neighbours ------------------------------------------------------------------------------------------------
// Every row gets a number; rows with the same number have the same insides.
function number(row, known) {
  const inside = row.children.map((child) => `${isModule(child) ? child.label : ""}:${number(child, known)}`).join(";");
  const text = `${row.same ?? row.own}|${row.own}|${inside}`;
  if (!known.has(text)) known.set(text, known.size);
  return (row.kind = known.get(text));
}

function folded(row) {
  const runs = [];
  for (const child of row.children) {
    const run = runs[runs.length - 1];
    if (run && isModule(child) && isModule(run[0]) && run[0].kind === child.kind) run.push(child);
    else runs.push([child]);
  }
  return runs.map((run) => (run.length === 1 ? run[0] : many(run)));
}

const isModule = (row) => row.key.startsWith("m");

function many(run) {
  const [head, tail] = [run[0], run[run.length - 1]];
  const scaled = (row, key) => ({
    ...row, key: `${key}/${row.key}`, sums: times_(row.sums, run.length), each: run.length,
    children: row.children.map((child) => scaled(child, key)),
  });
  const key = `x${head.key}`;
  return { ...scaled(head, key), key, label: `${head.label} … ${tail.label}`, repeat: run.length };
}

function times_(sums, count) {
  const scaled = (value) => (value === null ? null : typeof value === "bigint" ? value * BigInt(count) : value * count);
  return Object.fromEntries(Object.entries(sums).map(([key, value]) => [key, scaled(value)]));
}

// -- what is seen ----------------------------------------------------------------------------------------------------
function visible(root) {
  const wanted = view.search.trim().toLowerCase();
  const matches = (row) => row.path.toLowerCase().includes(wanted) || row.op.toLowerCase().includes(wanted);
  const hits = new Set();
  const mark = (row) => {
    const below = row.children.map(mark).some(Boolean);
    if (below || matches(row)) hits.add(row);
    return hits.has(row);
  };
  if (wanted) mark(root);
  const found = [];
  const walk = (row, level, position, siblings) => {
    const inside = wanted ? row.children.filter((child) => hits.has(child)) : view.fold ? folded(row) : row.children;
    const children = sorted(inside);
    const open = wanted ? children.length > 0 : view.open.has(row.key);
    found.push({ row, level, position, siblings, open, leaf: !children.length });
    if (open) children.forEach((child, i) => walk(child, level + 1, i + 1, children.length));
  };
  if (!wanted || hits.has(root)) walk(root, 1, 1, 1);
  return found;
}

function sorted(rows) {
  if (!view.sort) return rows;
  const sign = view.descending ? -1 : 1;
  const value = (row) => (view.sort === "label" ? row.label : row.sums[view.sort] ?? 0);
  const compare = (a, b) => (view.sort === "label" ? String(a).localeCompare(b, "en", { numeric: true }) : a < b ? -1 : a > b ? 1 : 0);
  return [...rows].sort((a, b) => sign * compare(value(a), value(b)));
}

// Open level by level while the tree stays readable.
function openAtFirst(root) {
  const open = new Set([root.key]);
  let rows = 1 + folded(root).length;
  let level = folded(root);
  while (level.length) {
    const next = level.flatMap((row) => folded(row));
    rows += next.length;
    if (rows > MANY) break;
    level.forEach((row) => open.add(row.key));
    level = next;
  }
  return open;
}

// -- the table -------------------------------------------------------------------------------------------------------
function renderTree(state) {
  if (!state.region) {
    show("tree", html("p", {}, "Not known at these sizes."));
    return;
  }
  const root = treeOf(state);
  view.open ??= openAtFirst(root);
  const columns = COLUMNS.filter(({ key }) => key !== "seconds" || state.region.machines.length);
  const rows = visible(root);
  if (!rows.some(({ row }) => row.key === view.focus)) view.focus = rows[0]?.row.key ?? "";
  const redraw = () => renderTree(state);
  const head = (key, label) => {
    const order = view.sort !== key ? "none" : view.descending ? "descending" : "ascending";
    const mark = { none: "", descending: " ▾", ascending: " ▴" }[order];
    return html("th", { scope: "col", "aria-sort": order, class: key === "label" ? null : "number" }, html("button", { type: "button", onclick: () => {
      if (view.sort === key && view.descending === (key !== "label")) view.descending = !view.descending;
      else [view.sort, view.descending] = view.sort === key ? ["", true] : [key, key !== "label"];
      redraw();
    } }, label + mark));
  };
  const focused = byId("tree").contains(document.activeElement) && document.activeElement.closest("tr");
  const body = html("tbody", { onkeydown: (event) => treeKey(event, rows, redraw) },
    ...rows.slice(0, MOST_ROWS).map((entry) => treeRow(entry, columns, root, redraw)));
  show("tree", html("div", { class: "scroll" },
    html("table", { role: "treegrid", "aria-label": "Modules and operators" },
      html("thead", {}, html("tr", {}, head("label", "module"), html("th", { scope: "col" }, "operator"), html("th", { scope: "col" }, "result"),
        ...columns.flatMap(({ key, label }) => [head(key, label), key === "macs" && html("th", { scope: "col", class: "number" }, "share")]))),
      body)),
    rows.length > MOST_ROWS && html("p", { class: "note" }, `and ${rows.length - MOST_ROWS} more rows: search, or fold some`),
    !rows.length && html("p", {}, "Nothing matches."),
    chosen(rows.find(({ row }) => row.key === view.focus)?.row));
  if (focused) focusRow();
}

// The formulas of the operator whose row was chosen last.
function chosen(row) {
  if (!row?.op) return null;
  const sizes = row.shape.split(" x ").flatMap((size, i) => (size ? [i ? " × " : "", formula(size)] : []));
  return html("p", { class: "note" }, html("b", {}, row.path), `, ${row.op}: `, ...sizes, ` ${row.dtype}`,
    ...(row.text && row.text !== "0" ? ["; MACs = ", formula(row.text)] : []), row.unknown && "; no cost rule");
}

function treeRow({ row, level, position, siblings, open, leaf }, columns, root, redraw) {
  const mark = leaf ? "\u2007" : open ? "▾" : "▸"; // no line breaks between the mark and the name
  const value = (key, unit) => {
    const amount = row.sums[key];
    if (row.unknown && key !== "params" && !amount) return "?";
    if (amount === null || !amount) return "";
    return (row.unknown && key !== "params" ? "≥ " : "") + (key === "seconds" ? seconds(amount) : human(amount, unit));
  };
  const badge = row.repeat > 1 && html("span", { class: "badge" }, `×${row.repeat}`);
  const called = row.calls > 1 && html("span", { class: "note" }, ` called ${row.calls} times`);
  return html("tr", {
    "aria-level": level, "aria-posinset": position, "aria-setsize": siblings, "aria-expanded": leaf ? null : String(open),
    tabindex: row.key === view.focus ? "0" : "-1", "data-key": row.key, class: row.op && !isModule(row) ? "op" : null,
    onclick: () => {
      view.focus = row.key;
      if (!leaf) toggle(row.key);
      redraw();
      focusRow();
    },
  },
  html("td", { class: `label indent-${Math.min(level - 1, 9)}`, title: row.path }, html("span", { class: "fold", "aria-hidden": "true" }, `${mark}\u00a0`), row.label, " ", badge, called),
  html("td", { class: "name" }, row.op),
  html("td", { class: "shape" }, row.shape ? `${row.shape} ${row.dtype}` : ""),
  ...columns.flatMap(({ key, unit }) => [html("td", { class: "number" }, value(key, unit)),
    key === "macs" && html("td", { class: "number" }, row.sums.macs ? percent(row.sums.macs, root.sums.macs) : "")]));
}

function toggle(key) {
  if (!view.open.delete(key)) view.open.add(key);
}

function focusRow() {
  byId("tree").querySelector(`tr[data-key="${CSS.escape(view.focus)}"]`)?.focus();
}

function treeKey(event, rows, redraw) {
  const at = rows.findIndex(({ row }) => row.key === view.focus);
  const { row, level, open, leaf } = rows[at];
  let to = at;
  if (event.key === "ArrowDown") to = Math.min(at + 1, rows.length - 1);
  else if (event.key === "ArrowUp") to = Math.max(at - 1, 0);
  else if (event.key === "Home") to = 0;
  else if (event.key === "End") to = rows.length - 1;
  else if (event.key === "Enter" || event.key === " ") {
    if (!leaf) toggle(row.key);
  } else if (event.key === "ArrowRight") {
    if (!leaf && !open) toggle(row.key);
    else if (!leaf) to = at + 1;
  } else if (event.key === "ArrowLeft") {
    if (open && !leaf) toggle(row.key);
    else to = Math.max(0, rows.findLastIndex((other, i) => i < at && other.level < level));
  } else return;
  event.preventDefault();
  view.focus = rows[Math.min(to, rows.length - 1)].row.key;
  redraw();
  focusRow();
}

function buildTreeTools(redraw) {
  show("tree-tools",
    html("label", { for: "search" }, "Search"),
    html("input", { id: "search", type: "search", oninput: (event) => {
      view.search = event.target.value;
      redraw();
    } }),
    html("label", {}, html("input", { type: "checkbox", checked: true, onchange: (event) => {
      view.fold = event.target.checked;
      redraw();
    } }), " equal neighbours in one row"),
    html("button", { type: "button", onclick: () => {
      view.open = new Set([...everyKey()]);
      redraw();
    } }, "unfold all"),
    html("button", { type: "button", onclick: () => {
      view.open = new Set(["m0"]);
      redraw();
    } }, "fold all"));
}

// Keys of everything that can be open, folded runs included.
function everyKey() {
  const keys = [];
  if (!last.region) return keys;
  const root = treeOf(last);
  const walk = (row) => {
    keys.push(row.key);
    row.children.forEach(walk);
    folded(row).filter((child) => child.repeat).forEach(walkRun);
  };
  const walkRun = (row) => {
    keys.push(row.key);
    folded(row).forEach(walkRun);
  };
  walk(root);
  return keys;
}
