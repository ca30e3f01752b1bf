// Drives headless Chromium over one page: reads {chromium, page, steps} from standard input, prints what each step saw,
// every message on the console, and every request that was made.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const job = JSON.parse(readFileSync(0, "utf8"));
const browser = await chromium.launch({ executablePath: job.chromium, args: ["--no-sandbox"] });
const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, bypassCSP: false });
const page = await context.newPage();
const messages = [];
const requests = [];
page.on("console", (message) => messages.push(`${message.type()}: ${message.text()}`));
page.on("pageerror", (error) => messages.push(`error: ${error.message}`));
page.on("dialog", (dialog) => {
  messages.push(`dialog: ${dialog.message()}`);
  dialog.dismiss();
});
context.on("request", (request) => requests.push(request.url()));

const settle = () => page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));

const actions = {
  type: async ({ symbol, text }) => page.fill(`[id="value-${symbol}"]`, text),
  slide: async ({ symbol, key, times }) => {
    await page.focus(`[id="slider-${symbol}"]`);
    for (let i = 0; i < (times ?? 1); i++) await page.keyboard.press(key);
  },
  tie: async ({ symbol, to }) => page.selectOption(`[id="tie-${symbol}"]`, to),
  pick: async ({ id, label }) => page.selectOption(`[id="${id}"]`, { label }),
  click: async ({ selector }) => page.click(selector),
  fill: async ({ selector, text }) => page.fill(selector, text),
  focus: async ({ selector }) => page.focus(selector),
  press: async ({ key, times }) => {
    for (let i = 0; i < (times ?? 1); i++) await page.keyboard.press(key);
  },
  open: async () => page.evaluate(() => document.querySelectorAll("details").forEach((each) => (each.open = true))),
  look: async ({ width, height, scheme }) => {
    if (width) await page.setViewportSize({ width, height: height ?? 900 });
    if (scheme) await page.emulateMedia({ colorScheme: scheme });
  },
  shoot: async ({ path, whole }) => page.screenshot({ path, fullPage: whole ?? true }),
  scroll: async ({ selector }) => page.evaluate((to) => document.querySelector(to).scrollIntoView(), selector),
  text: async ({ selector }) => page.innerText(selector),
  wide: async () => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth),
  rows: async () => page.$$eval("#tree tbody tr", (rows) => rows.map((row) => [...row.children].map((cell) => cell.innerText))),
  read: async () => page.evaluate(() => {
    const texts = (name) => Object.fromEntries([...document.querySelectorAll(`[data-${name}]`)].map((each) => [each.dataset[name], each.innerText]));
    const exact = [...document.querySelectorAll("[data-latency]")].map((each) => [each.dataset.latency, each.dataset.exact ?? null]);
    const sizes = Object.fromEntries([...document.querySelectorAll("[data-symbol]")].map((each) =>
      [each.dataset.symbol, each.querySelector("input").value]));
    const problems = document.getElementById("problems");
    return { totals: texts("total"), latencies: exact, sizes, problems: problems.hidden ? "" : problems.innerText,
      milliseconds: Number(document.documentElement.dataset.redrawMs) };
  }),
  axe: async () => {
    // In a world of its own, so that the page's policy stays in force.
    const session = await context.newCDPSession(page);
    const { frameTree } = await session.send("Page.getFrameTree");
    const { executionContextId: contextId } = await session.send("Page.createIsolatedWorld", { frameId: frameTree.frame.id });
    const source = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
    const run = async (expression) => (await session.send("Runtime.evaluate", { expression, contextId, awaitPromise: true, returnByValue: true })).result.value;
    await run(`${source}; 0`);
    const found = await run("axe.run(document).then((result) => JSON.stringify(result.violations))");
    return JSON.parse(found).map(({ id, impact, nodes }) => ({ id, impact, where: nodes.slice(0, 5).map((node) => node.html.slice(0, 160)) }));
  },
};

await page.goto(job.page);
await settle();
const results = [];
for (const step of job.steps) {
  const result = await actions[step.do](step);
  await settle();
  results.push(result ?? null);
}
console.log(JSON.stringify({ results, messages, requests }));
await browser.close();
