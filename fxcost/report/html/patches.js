// Patch by patch: plans found at one point, with their peaks and MACs at the sizes of the page; of the one picked its stages,
// and the machines whose memory holds it. The plan picked follows every move, all the others when things have come to rest.

const watchedPlan = { index: null };
let comparing = 0;

function renderPatches(state) {
  const found = data.patches;
  byId("patches-part").hidden = !found;
  clearTimeout(comparing);
  if (!found) return;
  const live = plansAt(state);
  const there = Object.entries(found.point).every(([name, size]) => String(state.sizes[name]) === size);
  if (live.why && !there) {
    byId("patches").hidden = true;
    show("patches-text", html("p", {}, `Not known here: ${live.why}. These plans were found at ${found.at}.`));
    return;
  }
  const shown = live.why ? asFound(found) : live;
  const index = watchedPlan.index ?? found.plans.length - 1;
  const pick = (i) => {
    watchedPlan.index = i;
    renderPatches(state);
  };
  const text = () => {
    const held = document.activeElement?.id === "plan";
    show("patches-text", planPicker(found, shown, index, pick), planText(found, shown, index), ...roomTable(found, shown.plans[index]()),
      html("p", { class: "note" }, `Plans found at ${found.at || "the sizes of the model"} in the accounting ${found.accounting}, widths ${found.widths}` +
        `, whatever is picked elsewhere${there ? "" : "; at these sizes other plans may be better"}. The plan chosen there: ${found.certificate}.`));
    if (held) byId("plan").focus();
  };
  text();
  byId("patches").hidden = found.plans.length < 2;
  if (found.plans.length > 1) comparing = setTimeout(() => drawPlans(shown, pick), there ? 0 : 120);
}

// The figures that Python found, where the page itself has no formulas: at that point alone.
const asFound = (found) => ({
  plainPeak: BigInt(found.plainPeak), plainMacs: BigInt(found.plainMacs), bound: BigInt(found.bound),
  plans: found.plans.map((plan) => () => ({ peak: BigInt(plan.peak), macs: BigInt(plan.macs), stages: plan.stages.map(({ peak }) => ({ peak })) })),
});

const onTop = (shown, plan) => (shown.plainMacs ? Number((1000000n * (plan.macs - shown.plainMacs)) / shown.plainMacs) / 10000 : 0);

// Plans that none of the others beats at these sizes, fewest MACs first.
function drawPlans(shown, pick) {
  const plans = shown.plans.map((make, index) => ({ ...make(), index })).filter(({ reason }) => !reason);
  plans.sort((a, b) => (a.macs !== b.macs ? (a.macs < b.macs ? -1 : 1) : a.peak < b.peak ? -1 : a.peak > b.peak ? 1 : 0));
  const best = plans.filter((plan, i) => plans.slice(0, i).every((before) => plan.peak < before.peak));
  byId("patches").hidden = best.length < 2;
  if (best.length < 2) return;
  chart("patches", [best.map((plan) => onTop(shown, plan)), best.map((plan) => Number(plan.peak))], {
    series: [{ label: "least peak within so many MACs", colour: "blue", stepped: true, fill: true }], height: 240, onpoint: (i) => pick(best[i].index),
    x: { label: "MACs on top, in percent", format: (value) => threeDigits(value) },
    y: { label: "bytes at the peak", format: (value) => human(value, "bytes") },
  });
}

function planPicker(found, shown, index, pick) {
  const plan = shown.plans[index]();
  const heard = plan.reason ? "cannot be cut at these sizes" : `${onTop(shown, plan).toFixed(2)} % more MACs, ${human(plan.peak, "bytes")}`;
  return found.plans.length > 1 && html("div", { class: "stepper" },
    html("label", { for: "plan" }, "MACs on top"),
    html("input", { id: "plan", type: "range", min: 0, max: found.plans.length - 1, value: index, oninput: (event) => pick(Number(event.target.value)),
      "aria-valuetext": heard }));
}

function planText(found, shown, index) {
  const plan = shown.plans[index]();
  const { stages, order } = found.plans[index];
  const rows = stages.map((stage, i) => [stage.to, stage.from, stage.cut, plan.reason ? "–" : human(plan.stages[i].peak, "bytes")]);
  const below = plan.reason ? "" : percent(shown.plainPeak - plan.peak, shown.plainPeak);
  const compared = plan.peak < shown.plainPeak ? `${below} less than the ${human(shown.plainPeak, "bytes")} of whole maps. ` :
    plan.peak === shown.plainPeak ? "as much as with whole maps. " : `more than the ${human(shown.plainPeak, "bytes")} of whole maps. `;
  return html("div", {},
    plan.reason ? html("p", { class: "wrong" }, `This plan cannot be cut at these sizes: ${plan.reason}.`) :
      html("p", {}, "Peak ", html("b", {}, human(plan.peak, "bytes")), ` (${grouped(plan.peak)} bytes) for ${onTop(shown, plan).toFixed(2)} % more MACs ` +
        `(${grouped(plan.macs)} in all); ${compared}` + `No patches and no order stay under ${human(shown.bound, "bytes")}` +
        (plan.peak > shown.bound ? `, ${percent(plan.peak - shown.bound, plan.peak)} less.` : ": this plan is the best of all.") +
        (order ? " What is outside the patches runs in another order than traced." : "")),
    rows.length ? table("Stages that run patch by patch", ["up to", "from", "cut into", "bytes at its peak"], rows, [1, 2]) :
      html("p", {}, "Nothing runs patch by patch in this plan."));
}

function roomTable(found, plan) {
  if (!found.rooms.length) return [];
  const verdict = (room) => (room.bytes === null || plan.reason ? "unknown" : plan.peak <= BigInt(room.bytes) ? "yes" : "no");
  const rows = found.rooms.map((room) => [
    room.name, room.level, room.bytes === null ? "unknown" : human(room.bytes, "bytes"), verdictMark(verdict(room)), room.least,
  ]);
  return [html("h3", {}, "Does this plan fit?"),
    table("Machines whose memory holds the activations of this plan",
      ["machine", "memory", "has", "this plan", `the simplest patches that fit${found.at ? ` at ${found.at}` : ""}`], rows, [1, 3, 4])];
}
