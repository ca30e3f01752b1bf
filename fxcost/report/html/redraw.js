// When to draw: anew after every change, once a frame at most; after a change of size or colours with new measures.

let last = {};
let draw = () => {};
let waiting = false;

function redraw() {
  waiting = false;
  const started = performance.now();
  draw();
  document.documentElement.dataset.redrawMs = (performance.now() - started).toFixed(2);
}

function changed() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(redraw);
}

function recoloured() {
  forget();
  changed();
}

// Paper is white: draw in light colours for the printer, and as before afterwards.
function printing(begins) {
  const { dataset } = document.documentElement;
  if (begins) {
    dataset.before = dataset.theme ?? "";
    dataset.theme = "light";
  } else if (dataset.before) dataset.theme = dataset.before;
  else delete dataset.theme;
  if (!begins) delete dataset.before;
  forget();
  redraw();
}

function begin(drawing) {
  draw = drawing;
  redraw();
  addEventListener("resize", () => {
    forget();
    resizeCharts();
    changed();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recoloured);
  addEventListener("beforeprint", () => printing(true));
  addEventListener("afterprint", () => printing(false));
}
