// Runs what a page computes, without a page: each line of standard input is {source, data, asks} and is answered by one
// line. `source` is a page's script up to where the document comes in, or any text that defines `answer(ask)`.

import { createInterface } from "node:readline";
import vm from "node:vm";

const plain = (_, value) => (typeof value === "bigint" ? `${value}` : value);

const REPORT = `
const shownPlans = (found) => (found.why ? found : { ...found, plans: found.plans.map((plan) => plan()) });
function answer({ typed, setting }) {
  const state = evaluate(typed, setting);
  const line = (each) => each && { peak: each.peak, highest: each.highest, bytes: each.bytes, start: each.start,
    node: each.highest < 0 ? null : each.node(each.highest), alive: each.alive(each.highest).map(({ block, bytes }) => [block, bytes]) };
  const region = state.region;
  return {
    totals: Object.fromEntries(data.quantities.map(({ name }, i) => [name, state.totals[i]])),
    sizes: state.sizes, problems: state.problems, masked: state.masked, guards: state.guards,
    traced: line(region?.traced), best: line(region?.best), number: region?.number ?? null,
    machines: (region?.machines ?? []).map((machine) => ({ ...machine, groups: machine.groups() })),
    patches: data.patches && shownPlans(plansAt(state)),
    names: region ? list(region.region.nodes.name).map(word) : [],
  };
}`;

createInterface({ input: process.stdin }).on("line", (line) => {
  const { source, data, asks } = JSON.parse(line);
  const document = { getElementById: () => ({ textContent: data }) };
  const context = vm.createContext({ document, console });
  vm.runInContext(data === null ? source : source + REPORT, context);
  const answers = asks.map((ask) => vm.runInContext(`answer(${JSON.stringify(ask)})`, context));
  console.log(JSON.stringify(answers, plain));
});
