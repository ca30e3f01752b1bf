// Patch by patch: the plans that no other beats; of the one picked its stages, and the machines whose memory holds it.

const watchedPlan = { index: null };

function renderPatches() {
  const found = data.patches;
  byId("patches-part").hidden = !found;
  if (!found) return;
  const more = (plan) => (found.plainMacs ? (100 * (plan.macs - found.plainMacs)) / found.plainMacs : 0);
  const index = watchedPlan.index ?? found.plans.length - 1;
  const pick = (i) => {
    watchedPlan.index = i;
    renderPatches();
  };
  byId("patches").hidden = found.plans.length < 2;
  if (found.plans.length > 1) {
    chart("patches", [found.plans.map(more), found.plans.map((plan) => plan.peak)], {
      series: [{ label: "least peak within so many MACs", colour: "blue", stepped: true, fill: true }], height: 240, onpoint: pick,
      x: { label: "MACs on top, in percent", format: (value) => threeDigits(value) },
      y: { label: "bytes at the peak", format: (value) => human(value, "bytes") },
    });
  }
  const held = document.activeElement?.id === "plan";
  show("patches-text", planPicker(found, index, more, pick), planText(found, found.plans[index], more), ...roomTable(found, found.plans[index]),
    html("p", { class: "note" }, `At ${found.at || "the sizes of the model"}, accounting ${found.accounting}, widths ${found.widths}: sliders do not move this. ` +
      `The plan chosen: ${found.certificate}.`));
  if (held) byId("plan").focus();
}

function planPicker(found, index, more, pick) {
  const plan = found.plans[index];
  return found.plans.length > 1 && html("div", { class: "stepper" },
    html("label", { for: "plan" }, "MACs on top"),
    html("input", { id: "plan", type: "range", min: 0, max: found.plans.length - 1, value: index, oninput: (event) => pick(Number(event.target.value)),
      "aria-valuetext": `${more(plan).toFixed(2)} % more MACs, ${human(plan.peak, "bytes")}` }));
}

function planText(found, plan, more) {
  const saved = found.plainPeak ? percent(found.plainPeak - plan.peak, found.plainPeak) : "";
  const rows = plan.stages.map((stage) => [stage.to, stage.from, stage.cut, human(stage.peak, "bytes")]);
  return html("div", {},
    html("p", {}, "Peak ", html("b", {}, human(plan.peak, "bytes")), ` (${grouped(plan.peak)} bytes) for ${more(plan).toFixed(2)} % more MACs; ` +
      (plan.peak < found.plainPeak ? `${saved} less than the ${human(found.plainPeak, "bytes")} of whole maps. ` : "as much as with whole maps. ") +
      `No patches and no order stay under ${human(found.bound, "bytes")}.` + (plan.order ? " What is outside the patches runs in another order than traced." : "")),
    rows.length ? table("Stages that run patch by patch", ["up to", "from", "cut into", "bytes at its peak"], rows, [1, 2]) :
      html("p", {}, "Nothing runs patch by patch in this plan."));
}

function roomTable(found, plan) {
  if (!found.rooms.length) return [];
  const rows = found.rooms.map((room) => [
    room.name, room.level, room.bytes === null ? "unknown" : human(room.bytes, "bytes"),
    verdictMark(room.bytes === null ? "unknown" : plan.peak <= room.bytes ? "yes" : "no"), room.least,
  ]);
  return [html("h3", {}, "Does this plan fit?"),
    table("Machines whose memory holds the activations of this plan", ["machine", "memory", "has", "this plan", "the simplest patches that fit"], rows, [1, 3, 4])];
}
