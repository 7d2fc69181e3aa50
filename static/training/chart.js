// Shows the values of charts under the pointer, a finger, or with the arrow keys. All charts of a page show the
// same step at once. The values are in the charts themselves; nothing is fetched.

const liveRegion = document.getElementById("chart-values");
const linesCache = new WeakMap();

// The selected step, its chart, and whether it was selected with the keyboard. Outlives the charts, which polling
// replaces.
let selection = null;

function linesOf(svg) {
  if (linesCache.has(svg)) return linesCache.get(svg);
  const lines = [...svg.querySelectorAll("polyline[data-steps]")].map((polyline) => ({
    steps: polyline.dataset.steps.split(" ").map(Number),
    values: polyline.dataset.values.split(" "),
    points: polyline.getAttribute("points").split(" ").map((point) => point.split(",")),
  }));
  linesCache.set(svg, lines);
  return lines;
}

// The index of the number nearest to `wanted` in a sorted list.
function nearest(numbers, wanted) {
  let low = 0;
  let high = numbers.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (numbers[middle] < wanted) low = middle;
    else high = middle;
  }
  return wanted - numbers[low] <= numbers[high] - wanted ? low : high;
}

function stepAt(svg, clientX) {
  const box = svg.getBoundingClientRect();
  const { left, right, first, last } = svg.dataset;
  const x = ((clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
  const share = (x - left) / (right - left);
  const wanted = Number(first) + Math.min(Math.max(share, 0), 1) * (last - first);
  return linesOf(svg)
    .map(({ steps }) => steps[nearest(steps, wanted)])
    .reduce((best, step) => (Math.abs(step - wanted) < Math.abs(best - wanted) ? step : best));
}

function showStep(figure, step) {
  const svg = figure.querySelector("svg");
  const { left, right, first, last } = svg.dataset;
  const keys = figure.querySelectorAll(".key .value");
  const dots = svg.querySelectorAll("circle");
  const texts = [];
  linesOf(svg).forEach(({ steps, values, points }, index) => {
    const place = nearest(steps, step);
    keys[index].textContent = values[place];
    dots[index].setAttribute("cx", points[place][0]);
    dots[index].setAttribute("cy", points[place][1]);
    texts.push(keys[index].parentElement.textContent.trim());
  });
  const cursor = svg.querySelector(".cursor");
  const x = Number(left) + ((step - first) / (last - first)) * (right - left);
  cursor.setAttribute("visibility", x >= left && x <= right ? "visible" : "hidden");
  cursor.setAttribute("x1", x);
  cursor.setAttribute("x2", x);
  const stepLabel = figure.querySelector(".step");
  stepLabel.hidden = false;
  stepLabel.textContent = `step ${step.toLocaleString("en")}`;
  return `${stepLabel.textContent}: ${texts.join(", ")}`;
}

function showLatest(figure) {
  const svg = figure.querySelector("svg");
  const keys = figure.querySelectorAll(".key .value");
  const dots = svg.querySelectorAll("circle");
  linesOf(svg).forEach(({ values, points }, index) => {
    keys[index].textContent = values.at(-1);
    dots[index].setAttribute("cx", points.at(-1)[0]);
    dots[index].setAttribute("cy", points.at(-1)[1]);
  });
  svg.querySelector(".cursor").setAttribute("visibility", "hidden");
  figure.querySelector(".step").hidden = true;
}

function showAll() {
  for (const figure of document.querySelectorAll("[data-chart]")) {
    if (selection === null) showLatest(figure);
    else {
      const text = showStep(figure, selection.step);
      if (selection.isAnnounced && figure.dataset.chart === selection.chart) liveRegion.textContent = text;
    }
  }
}

function select(figure, step, { isAnnounced = false } = {}) {
  const chart = figure.dataset.chart;
  if (selection?.step === step && selection.chart === chart) return;
  selection = { step, chart, isAnnounced };
  showAll();
}

function clearSelection() {
  if (selection === null) return;
  selection = null;
  showAll();
}

const chartOf = (target) => target.closest?.("[data-chart] svg") ?? null;

function followPointer(event) {
  const svg = chartOf(event.target);
  if (svg) select(svg.closest("[data-chart]"), stepAt(svg, event.clientX));
  else if (selection && !selection.isAnnounced) clearSelection();
}

document.addEventListener("pointermove", followPointer);
document.addEventListener("pointerdown", followPointer);
document.documentElement.addEventListener("pointerleave", clearSelection);

document.addEventListener("keydown", (event) => {
  const svg = chartOf(event.target);
  if (!svg || event.altKey || event.ctrlKey || event.metaKey) return;
  const figure = svg.closest("[data-chart]");
  const steps = [...new Set(linesOf(svg).flatMap((line) => line.steps))].sort((a, b) => a - b);
  const here = selection ? nearest(steps, selection.step) : steps.length;
  const far = Math.max(Math.round(steps.length / 10), 1);
  const wanted = {
    ArrowLeft: here - 1, ArrowRight: here + 1, PageUp: here - far, PageDown: here + far, Home: 0, End: Infinity,
  }[event.key];
  if (event.key === "Escape") clearSelection();
  if (wanted === undefined) return;
  event.preventDefault();
  select(figure, steps[Math.min(Math.max(wanted, 0), steps.length - 1)], { isAnnounced: true });
});

document.addEventListener("focusout", (event) => {
  // A chart that polling replaced loses the focus too, and gets it back at once.
  if (chartOf(event.target) && event.target.isConnected && event.relatedTarget) clearSelection();
});

document.addEventListener("htmx:afterSwap", () => {
  if (selection !== null) showAll();
});
