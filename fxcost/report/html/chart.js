// A line chart by uPlot in the colours of the page. It is drawn anew when its lines change, else only fed.

const charts = new Map();

// `options`: series [{label, colour, dash, fill}], x and y axis labels and formats, height, log scales, onpoint(index).
function chart(id, columns, options) {
  const host = byId(id);
  const key = JSON.stringify([options.series, options.logX, options.logY, options.x.label, options.y.label, colour("ink")]);
  const before = charts.get(id);
  if (before && before.key === key) {
    before.options = options;
    before.plot.setData(columns);
    return before.plot;
  }
  if (before) before.plot.destroy();
  const entry = { key, options };
  const axis = (side, space) => ({
    label: options[side].label, stroke: colour("soft"), grid: { stroke: colour("line"), width: 1 }, ticks: { stroke: colour("line") },
    values: (_, splits) => splits.map((split) => (split === null ? "" : entry.options[side].format(split))), labelSize: 22, labelGap: 2, size: space,
    font: "12px system-ui, sans-serif", labelFont: "12px system-ui, sans-serif",
  });
  entry.plot = new uPlot({
    width: Math.max(widthOf(id), 240), height: options.height,
    scales: {
      x: { time: false, distr: options.logX ? 3 : 1 },
      y: { distr: options.logY ? 3 : 1, range: options.logY ? undefined : (_, low, high) => [0, high > 0 ? high * 1.08 : 1] },
    },
    axes: [axis("x", 44), axis("y", 78)],
    series: [{}, ...options.series.map((line) => ({
      label: line.label, stroke: colour(line.colour), width: 2, dash: line.dash, points: { show: false },
      fill: line.fill ? colour(line.colour).replace("rgb(", "rgba(").replace(")", ", 0.12)") : undefined,
      paths: line.stepped ? uPlot.paths.stepped({ align: 1 }) : undefined,
    }))],
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, points: { size: 7 } },
    hooks: { setCursor: [(plot) => plot.cursor.idx !== null && plot.cursor.event && entry.options.onpoint(plot.cursor.idx)] },
  }, columns, host);
  charts.set(id, entry);
  return entry.plot;
}

function resizeCharts() {
  for (const [id, { plot, options }] of charts) {
    plot.setSize({ width: Math.max(widthOf(id), 240), height: options.height });
  }
}

// What the lines mean, in words and with their colour and dash.
function legend(lines) {
  return html("ul", { class: "legend" }, ...lines.map((line) => html("li", {},
    svg("svg", { width: 28, height: 8, "aria-hidden": "true" }, svg("line", {
      x1: 0, x2: 28, y1: 4, y2: 4, "stroke-width": 3, class: `line-${line.colour}`, "stroke-dasharray": line.dash ? line.dash.join(" ") : null,
    })), ` ${line.label}`)));
}
