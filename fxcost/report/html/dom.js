// Small helpers for the document. Text always goes in as text: no name of the model is ever read as markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, content) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...content.filter((part) => part !== null && part !== undefined && part !== false));
  return element;
}

const html = (tag, attributes = {}, ...content) => fill(document.createElement(tag), attributes, content);
const svg = (tag, attributes = {}, ...content) => fill(document.createElementNS(SVG, tag), attributes, content);
const byId = (id) => document.getElementById(id);

function show(id, ...content) {
  byId(id).replaceChildren(...content.filter(Boolean));
}

// A table with a caption for screen readers; cells of all columns but the first are numbers unless `text` lists them.
function table(caption, heads, rows, text = []) {
  const cell = (tag, content, i, extra = {}) => html(tag, { class: i && !text.includes(i) ? "number" : null, ...extra }, content);
  return html("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `${caption}, table` },
    html("table", {},
      html("caption", { class: "hidden" }, caption),
      html("thead", {}, html("tr", {}, ...heads.map((head, i) => cell("th", head, i, { scope: "col" })))),
      html("tbody", {}, ...rows.map((row) => html("tr", {}, ...row.map((content, i) =>
        cell(i ? "td" : "th", content, i, i ? {} : { scope: "row" })))))));
}

// What only the laid-out page knows, asked for once and kept: asking in the middle of a redraw lays the page out each time.
const layout = { colours: new Map(), widths: new Map() };

function forget() {
  layout.colours.clear();
  layout.widths.clear();
}

// The colour that a style variable stands for now, for what is drawn on a canvas.
function colour(name) {
  if (!layout.colours.has(name)) {
    const probe = byId("probe");
    probe.style.color = `var(--${name})`;
    layout.colours.set(name, getComputedStyle(probe).color);
  }
  return layout.colours.get(name);
}

// How wide an element of the page is.
function widthOf(id) {
  if (!layout.widths.has(id)) layout.widths.set(id, byId(id).clientWidth);
  return layout.widths.get(id);
}

const COLOURS = ["blue", "orange", "green", "pink", "yellow", "sky", "grey"];

// How the page was made: the command and the versions.
const howMade = () => [
  html("h3", {}, "How this page was made"),
  data.command && html("pre", { tabindex: "0" }, data.command),
  html("p", { class: "note" }, Object.entries(data.versions).map(([name, version]) => `${name} ${version}`).join(", ")),
];
