// Machines: does it fit, how long does it take, how much energy, and what these figures leave out.

const LATENCIES = {
  lecture: "whole network, the larger of total compute and total memory time",
  bound: "sound lower bound: compulsory traffic, true peaks",
  roofline: "sum over operators of the larger of the two, data-sheet figures",
  calibrated: "roofline with fitted efficiencies",
};
const VERDICTS = { yes: "✓ fits", no: "✗ does not fit", unknown: "? unknown" };

const verdictMark = (verdict) => html("span", { class: `verdict ${verdict}` }, VERDICTS[verdict]);

function renderMachines(state) {
  if (!data.machines.length) {
    show("machines", html("p", {}, "No machine was named. ", html("code", {}, "--target NAME"), " adds one: see ",
      html("code", {}, "fxcost targets"), "."));
    return;
  }
  const machines = state.region?.machines ?? [];
  if (!machines.length) {
    show("machines", html("p", {}, "Not known at these sizes."));
    return;
  }
  const time = (value) => (value === null ? "unknown" : seconds(value));
  const heads = ["machine", ...Object.keys(LATENCIES), "energy", "fits"];
  const rows = machines.map((machine, i) => [
    data.machines[i].name,
    ...Object.keys(LATENCIES).map((kind) => html("span", { "data-latency": kind, "data-exact": machine.latencies[kind] }, time(machine.latencies[kind]))),
    html("span", { "data-exact": machine.energy }, machine.energy === null ? "unknown" : joules(machine.energy)),
    verdictMark(machine.verdict),
  ]);
  const chosen = machines[picked.machine];
  const name = data.machines[picked.machine].name;
  show("machines",
    table("Latency, energy and fit by machine", heads, rows, [6]),
    html("p", { class: "note" }, Object.entries(LATENCIES).map(([kind, what]) => `${kind}: ${what}`).join("; ") + "."),
    html("h3", {}, `Will it fit on ${name}?`),
    fitTable(chosen),
    largestThatFits(state, name),
    droppedTerms(chosen, name));
}

function fitTable(machine) {
  const rows = machine.fits.map((row) => {
    const share = row.have ? Math.min(1, Number(row.need) / Number(row.have)) : 0;
    const bar = svg("svg", { width: 120, height: 12, "aria-hidden": "true" },
      svg("rect", { width: 120, height: 12, class: "bar-back" }),
      svg("rect", { width: 120 * share, height: 12, class: row.verdict === "no" ? "bar-bad" : "bar-good" }));
    return [
      `${row.what} (${row.level}${row.decides ? "" : ", for a runtime with one arena"})`,
      human(row.need, "bytes"), row.have === null ? "unknown" : human(row.have, "bytes"),
      row.have === null ? "" : margin(row), bar, verdictMark(row.verdict),
    ];
  });
  return table("What must fit", ["what", "needs", "has", "margin", "used", "verdict"], rows, [4, 5]);
}

function margin(row) {
  const left = row.have - row.need;
  return left < 0n ? `−${human(-left, "bytes")}` : human(left, "bytes");
}

function largestThatFits(state, name) {
  const lines = state.setting.largest[name] ?? [];
  return lines.length > 0 && details("largest", "The largest size that fits, proven when this page was made",
    () => html("ul", {}, ...lines.map((line) => html("li", {}, line))));
}

function droppedTerms(machine, name) {
  return html("div", {},
    machine.calibration && html("p", { class: "note" }, `calibrated: ${machine.calibration}`),
    machine.dropped.length > 0 && html("p", {}, `Left out of the figures for ${name}:`),
    machine.dropped.length > 0 && html("ul", { class: "note" }, ...machine.dropped.map((term) => html("li", {}, term))));
}
