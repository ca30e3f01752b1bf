// The treemap: modules as areas inside one another; a click or Enter goes in, the path above goes back out.

const MAP = { height: 380, header: 18, gap: 2, least: 26 };
const map = { metric: "macs", root: "", untouched: true };

function renderTreemap(state) {
  if (!state.region) {
    show("treemap");
    return;
  }
  const tree = treeOf(state);
  const metrics = COLUMNS.filter(({ key }) => key !== "seconds" || state.region.machines.length);
  if (!metrics.some(({ key }) => key === map.metric)) map.metric = "macs";
  if (map.untouched && !tree.sums[map.metric]) map.metric = "traffic"; // nothing to see in products that there are none of
  const { unit, label } = metrics.find(({ key }) => key === map.metric);
  const root = find(tree, map.root) ?? tree;
  const whole = tree.sums[map.metric];
  const said = (amount) => (map.metric === "seconds" ? seconds(amount) : human(amount, unit));
  const width = Math.max(widthOf("treemap"), 280);
  const redraw = () => renderTreemap(state);
  const picture = svg("svg", { viewBox: `0 0 ${width} ${MAP.height}`, width, height: MAP.height, role: "group", "aria-label": `${label} by module` });
  const go = (path) => {
    map.root = path;
    redraw();
    byId("treemap").querySelector("[tabindex='0']")?.focus();
  };
  squarify(areas(root), 0, 0, width, MAP.height).forEach(([row, box], i) =>
    picture.append(cell(row, box, COLOURS[i % 6], 0, said, whole, go)));
  if (!picture.children.length) picture.append(svg("text", { x: 12, y: 28, class: "label" }, `No ${label} here.`));
  show("treemap", crumbs(tree, root, go), picture);
  byId("treemap-metric").replaceChildren(picker("treemap-choice", "area", metrics.map((metric) => metric.label),
    metrics.findIndex(({ key }) => key === map.metric), (i) => {
      Object.assign(map, { metric: metrics[i].key, untouched: false });
      redraw();
    }));
}

function find(row, path) {
  if (row.path === path) return row;
  return row.children.filter((child) => isModule(child)).map((child) => find(child, path)).find(Boolean);
}

const amount = (row) => Number(row.sums[map.metric] ?? 0);

// What a row is made of, with what it counts itself (its own parameters) as a part of its own.
function areas(row) {
  const parts = row.children.filter((child) => amount(child) > 0).map((child) => [child, amount(child)]);
  const rest = amount(row) - parts.reduce((sum, [, each]) => sum + each, 0);
  if (rest > 1e-9 * amount(row)) parts.push([{ ...row, key: `${row.key}-own`, label: parts.length ? "itself" : row.label, children: [], sums: { [map.metric]: rest } }, rest]);
  return parts.sort((a, b) => b[1] - a[1]);
}

function cell(row, [x, y, w, h], hue, depth, said, whole, go) {
  const share = percent(row.sums[map.metric], whole);
  const text = `${row.path || row.label}: ${said(row.sums[map.metric])}, ${share}`;
  const inside = row.children.length > 0 && w > 2 * MAP.least && h > MAP.least + MAP.header && depth < 4;
  const enters = depth === 0 && row.children.length > 0;
  const button = enters && {
    role: "button", tabindex: "0", "aria-label": `${text}; go in`,
    onkeydown: (event) => (event.key === "Enter" || event.key === " ") && (event.preventDefault(), go(row.path)),
  };
  const size = { width: Math.max(w - MAP.gap, 0.5), height: Math.max(h - MAP.gap, 0.5) };
  const group = svg("g", { class: enters ? "cell enters" : "cell", ...(enters && { onclick: () => go(row.path) }) },
    svg("title", {}, text), svg("rect", { x, y, ...size, class: `area fill-${hue} depth-${Math.min(depth, 4)}`, ...button }));
  const letters = Math.floor((w - 8) / 7.4);
  const title = h > 15 && letters > 2 ? (row.label.length > letters ? `${row.label.slice(0, letters - 1)}…` : row.label) : "";
  if (title) group.append(svg("text", { x: x + 4, y: y + 13, class: "label", "aria-hidden": "true" }, title));
  if (!inside && h > 32 && letters > 6) group.append(svg("text", { x: x + 4, y: y + 27, class: "tick", "aria-hidden": "true" }, share));
  if (inside) {
    for (const [child, box] of squarify(areas(row), x + 3, y + MAP.header, w - 6 - MAP.gap, h - MAP.header - 4 - MAP.gap)) {
      group.append(cell(child, box, hue, depth + 1, said, whole, go));
    }
  }
  return group;
}

function crumbs(tree, root, go) {
  const parts = root.path ? root.path.split(".") : [];
  const paths = ["", ...parts.map((_, i) => parts.slice(0, i + 1).join("."))];
  return html("p", { class: "crumbs" }, ...paths.flatMap((path, i) => {
    const name = path ? parts[i - 1] : data.model;
    const here = i === paths.length - 1;
    return [i ? " / " : "", here ? html("b", {}, name) : html("button", { type: "button", onclick: () => go(path) }, name)];
  }));
}

// Rows of near-square boxes (Bruls, Huizing, van Wijk: Squarified treemaps, 2000); areas come largest first.
function squarify(parts, x, y, w, h) {
  const found = [];
  let total_ = parts.reduce((sum, [, size]) => sum + size, 0);
  let left = parts;
  while (left.length && w > 0 && h > 0 && total_ > 0) {
    const side = Math.min(w, h);
    const perUnit = (w * h) / total_;
    const worst = (row, sum) => Math.max(...row.map(([, size]) => {
      const thickness = (sum * perUnit) / side;
      const length = (size * perUnit) / thickness;
      return Math.max(length / thickness, thickness / length);
    }));
    let count = 1;
    let sum = left[0][1];
    while (count < left.length && worst(left.slice(0, count + 1), sum + left[count][1]) <= worst(left.slice(0, count), sum)) sum += left[count++][1];
    const thickness = (sum * perUnit) / side;
    let along = 0;
    for (const [row, size] of left.slice(0, count)) {
      const length = (size * perUnit) / thickness;
      found.push([row, w >= h ? [x, y + along, thickness, length] : [x + along, y, length, thickness]]);
      along += length;
    }
    if (w >= h) [x, w] = [x + thickness, w - thickness];
    else [y, h] = [y + thickness, h - thickness];
    total_ -= sum;
    left = left.slice(count);
  }
  return found;
}
