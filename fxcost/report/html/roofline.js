// The roofline: operations a second against operations per byte, both logarithmic; one mark for every kind of op.

const PLOT = { width: 760, height: 420, left: 76, right: 16, top: 18, bottom: 48 };
const SHAPES = ["circle", "square", "diamond", "up", "down", "cross", "circle"];

function renderRoofline(state) {
  const machine = state.region?.machines[picked.machine];
  byId("roofline-part").hidden = !data.machines.length;
  if (!machine) {
    show("roofline");
    return;
  }
  const groups = machine.groups();
  const marks = gather(groups.filter((group) => group.operations > 0 && group.bytes > 0 && group.seconds > 0));
  if (!marks.length) {
    show("roofline", html("p", {}, "Nothing to draw: no operator has operations, bytes and a time on this machine."));
    return;
  }
  PLOT.width = Math.min(Math.max(widthOf("roofline"), 300), 900);
  const { peaks, bandwidths } = data.machines[picked.machine];
  const ridges = peaks.flatMap(([, rate]) => bandwidths.map(([, bandwidth]) => rate / bandwidth));
  const across = scale([...marks.map((mark) => mark.x), ...ridges], PLOT.left, PLOT.width - PLOT.right, 3);
  const up = scale([...marks.map((mark) => mark.y), ...peaks.map(([, rate]) => rate)], PLOT.height - PLOT.bottom, PLOT.top, 3);
  const ranked = rank(marks);
  const families = ranked.slice(0, 6);
  const longest = Math.max(...marks.map((mark) => mark.total));
  const style = (family) => (families.includes(family) ? families.indexOf(family) : 6);
  const shapes = marks.sort((a, b) => b.total - a.total).map((mark) => {
    const radius = 3.5 + 12 * Math.sqrt(mark.total / longest);
    const shape = symbolOf(SHAPES[style(mark.family)], across(mark.x), up(mark.y), radius);
    shape.setAttribute("class", `mark fill-${COLOURS[style(mark.family)]}`);
    shape.append(svg("title", {}, markText(mark, state.region)));
    return shape;
  });
  const [lines, labels] = ceilingsOf(across, up, peaks, bandwidths);
  const whole = machine.latencies.roofline;
  const said = `Roofline on ${data.machines[picked.machine].name}: ${groups.length} operators in ${seconds(whole ?? 0)}. ` +
    "The table below lists the longest ones.";
  show("roofline",
    html("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Roofline, drawn" },
      svg("svg", { viewBox: `0 0 ${PLOT.width} ${PLOT.height}`, role: "img", "aria-label": said, class: "plot" },
        ...axesOf(across, up), ...lines, ...shapes, ...labels)),
    html("ul", { class: "legend" }, ...[...families, ...(ranked.length > 6 ? ["others"] : [])].map((family, i) => html("li", {},
      svg("svg", { width: 14, height: 14, "aria-hidden": "true" }, fill(symbolOf(SHAPES[i], 7, 7, 5), { class: `mark fill-${COLOURS[i]}` }, [])),
      ` ${family}`))),
    html("p", { class: "note" }, "Area: the time of all ops of one kind together. Flat lines are peaks, slanted ones bandwidths; " +
      "what stands above them has bytes on chip, where no bandwidth is stated."),
    details("longest", "The longest operators", () => longestTable(groups, state.region, whole)));
}

// Ops at the same place are one mark.
function gather(groups) {
  const found = new Map();
  for (const group of groups) {
    const [x, y] = [group.operations / group.bytes, group.operations / group.seconds];
    const key = `${group.family} ${x} ${y}`;
    const mark = found.get(key) ?? { x, y, family: group.family, total: 0, groups: [] };
    mark.total += group.seconds;
    mark.groups.push(group);
    found.set(key, mark);
  }
  return [...found.values()];
}

function rank(marks) {
  const times = new Map();
  for (const mark of marks) times.set(mark.family, (times.get(mark.family) ?? 0) + mark.total);
  return [...times.keys()].sort((a, b) => times.get(b) - times.get(a));
}

function scale(values, from, to, room) {
  const logs = values.filter((value) => value > 0 && Number.isFinite(value)).map(Math.log10);
  const [low, high] = [Math.min(...logs) - Math.log10(room), Math.max(...logs) + Math.log10(room)];
  const place = (value) => from + ((Math.log10(value) - low) / (high - low)) * (to - from);
  return Object.assign(place, { low: 10 ** low, high: 10 ** high });
}

function powersIn(place) {
  const [first, last_] = [Math.ceil(Math.log10(place.low)), Math.floor(Math.log10(place.high))];
  const step = Math.max(1, Math.ceil((last_ - first + 1) / 7));
  return Array.from({ length: Math.max(0, Math.floor((last_ - first) / step) + 1) }, (_, i) => 10 ** (first + i * step));
}

function axesOf(across, up) {
  const [bottom, right] = [PLOT.height - PLOT.bottom, PLOT.width - PLOT.right];
  const grid = (x1, y1, x2, y2) => svg("line", { x1, y1, x2, y2, class: "grid" });
  const say = (x, y, text, extra = {}) => svg("text", { x, y, class: "tick", ...extra }, text);
  return [
    ...powersIn(across).flatMap((power) => [grid(across(power), PLOT.top, across(power), bottom),
      say(across(power), bottom + 16, threeDigits(power), { "text-anchor": "middle" })]),
    ...powersIn(up).flatMap((power) => [grid(PLOT.left, up(power), right, up(power)),
      say(PLOT.left - 6, up(power) + 4, human(power, "op/s"), { "text-anchor": "end" })]),
    say((PLOT.left + right) / 2, PLOT.height - 10, "operations per byte", { "text-anchor": "middle" }),
  ];
}

// Lines and labels: each bandwidth rises to the highest peak, each peak begins where the fastest level reaches it.
function ceilingsOf(across, up, peaks, bandwidths) {
  const top = Math.max(...peaks.map(([, rate]) => rate), 0) || up.high;
  const fastest = Math.max(...bandwidths.map(([, rate]) => rate), 0);
  const line = (x1, y1, x2, y2, dash) => svg("line", { x1: across(x1), y1: up(y1), x2: across(x2), y2: up(y2), class: "ceiling", "stroke-dasharray": dash });
  const lines = [];
  const labels = [];
  for (const [label, rate] of peaks) {
    lines.push(line(fastest ? Math.max(across.low, rate / fastest) : across.low, rate, across.high, rate, null));
    labels.push(svg("text", { x: PLOT.width - PLOT.right - 4, y: up(rate) - 14, "text-anchor": "end", class: "label halo" }, label));
  }
  for (const [label, rate] of bandwidths) {
    const [start, end] = [Math.max(across.low, up.low / rate), Math.min(across.high, top / rate)];
    if (start >= end) continue;
    const [x, y] = [across(start), up(start * rate)];
    const turn = (Math.atan2(up(end * rate) - y, across(end) - x) * 180) / Math.PI;
    lines.push(line(start, start * rate, end, end * rate, "6 4"));
    labels.push(svg("text", { x: x + 10, y: y - 8, transform: `rotate(${turn} ${x} ${y})`, class: "label halo" }, label));
  }
  return [lines, labels];
}

function symbolOf(shape, x, y, r) {
  const points = (...pairs) => svg("polygon", { points: pairs.map(([dx, dy]) => `${x + dx * r},${y + dy * r}`).join(" ") });
  switch (shape) {
    case "square": return svg("rect", { x: x - 0.9 * r, y: y - 0.9 * r, width: 1.8 * r, height: 1.8 * r });
    case "diamond": return points([0, -1.2], [1.2, 0], [0, 1.2], [-1.2, 0]);
    case "up": return points([0, -1.15], [1.05, 0.85], [-1.05, 0.85]);
    case "down": return points([0, 1.15], [1.05, -0.85], [-1.05, -0.85]);
    case "cross": return points([-0.4, -1], [0.4, -1], [0.4, -0.4], [1, -0.4], [1, 0.4], [0.4, 0.4], [0.4, 1], [-0.4, 1], [-0.4, 0.4], [-1, 0.4], [-1, -0.4], [-0.4, -0.4]);
  }
  return svg("circle", { cx: x, cy: y, r });
}

function markText(mark, region) {
  const names = mark.groups.slice(0, 4).map((group) => describe(region, group.node));
  const more = mark.groups.length > 4 ? ` and ${mark.groups.length - 4} more` : "";
  return `${names.join(", ")}${more}\n${mark.family}, ${human(mark.x, "op/byte")}, ${human(mark.y, "op/s")}, ${seconds(mark.total)}`;
}

function longestTable(groups, region, whole) {
  const rows = [...groups].sort((a, b) => b.seconds - a.seconds).slice(0, 20).map((group) => [
    describe(region, group.node), group.family, seconds(group.seconds), whole ? percent(group.seconds, whole) : "",
    group.binds === "unknown" ? "what binds is unknown" : `${group.binds} binds`,
  ]);
  return table("The longest operators", ["operator", "class", "time", "share", "binds"], rows, [1, 4]);
}
