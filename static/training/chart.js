// Reads values off the pictures of curves: under the pointer, a finger, or by the arrow keys. All pictures of
// a page show the same step at once. What they say stands in the pictures themselves; nothing is fetched.

const reading = document.getElementById("reading");
const read = new WeakMap();

// The chosen step, where it was chosen, and whether by the keyboard. Outlives the pictures, which a page that
// is polled replaces.
let chosen = null;

function linesOf(svg) {
  if (read.has(svg)) return read.get(svg);
  const lines = [...svg.querySelectorAll("polyline[data-steps]")].map((polyline) => ({
    steps: polyline.dataset.steps.split(" ").map(Number),
    values: polyline.dataset.values.split(" "),
    points: polyline.getAttribute("points").split(" ").map((point) => point.split(",")),
  }));
  read.set(svg, lines);
  return lines;
}

// The place of the number nearest to `wanted` in a rising list.
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

function show(figure, step) {
  const svg = figure.querySelector("svg");
  const { left, right, first, last } = svg.dataset;
  const keys = figure.querySelectorAll(".key .value");
  const dots = svg.querySelectorAll("circle");
  const said = [];
  linesOf(svg).forEach(({ steps, values, points }, index) => {
    const place = nearest(steps, step);
    keys[index].textContent = values[place];
    dots[index].setAttribute("cx", points[place][0]);
    dots[index].setAttribute("cy", points[place][1]);
    said.push(keys[index].parentElement.textContent.trim());
  });
  const cross = svg.querySelector(".cross");
  const x = Number(left) + ((step - first) / (last - first)) * (right - left);
  cross.setAttribute("visibility", x >= left && x <= right ? "visible" : "hidden");
  cross.setAttribute("x1", x);
  cross.setAttribute("x2", x);
  const at = figure.querySelector(".at");
  at.hidden = false;
  at.textContent = `step ${step.toLocaleString("en")}`;
  return `${at.textContent}: ${said.join(", ")}`;
}

function showNow(figure) {
  const svg = figure.querySelector("svg");
  const keys = figure.querySelectorAll(".key .value");
  const dots = svg.querySelectorAll("circle");
  linesOf(svg).forEach(({ values, points }, index) => {
    keys[index].textContent = values.at(-1);
    dots[index].setAttribute("cx", points.at(-1)[0]);
    dots[index].setAttribute("cy", points.at(-1)[1]);
  });
  svg.querySelector(".cross").setAttribute("visibility", "hidden");
  figure.querySelector(".at").hidden = true;
}

function showAll() {
  for (const figure of document.querySelectorAll("[data-chart]")) {
    if (chosen === null) showNow(figure);
    else {
      const said = show(figure, chosen.step);
      if (chosen.aloud && figure.dataset.chart === chosen.chart) reading.textContent = said;
    }
  }
}

function choose(figure, step, { aloud = false } = {}) {
  const chart = figure.dataset.chart;
  if (chosen?.step === step && chosen.chart === chart) return;
  chosen = { step, chart, aloud };
  showAll();
}

function leave() {
  if (chosen === null) return;
  chosen = null;
  showAll();
}

const pictureOf = (target) => target.closest?.("[data-chart] svg") ?? null;

function follow(event) {
  const svg = pictureOf(event.target);
  if (svg) choose(svg.closest("[data-chart]"), stepAt(svg, event.clientX));
  else if (chosen && !chosen.aloud) leave();
}

document.addEventListener("pointermove", follow);
document.addEventListener("pointerdown", follow);
document.documentElement.addEventListener("pointerleave", leave);

document.addEventListener("keydown", (event) => {
  const svg = pictureOf(event.target);
  if (!svg || event.altKey || event.ctrlKey || event.metaKey) return;
  const figure = svg.closest("[data-chart]");
  const steps = [...new Set(linesOf(svg).flatMap((line) => line.steps))].sort((a, b) => a - b);
  const here = chosen ? nearest(steps, chosen.step) : steps.length;
  const far = Math.max(Math.round(steps.length / 10), 1);
  const wanted = {
    ArrowLeft: here - 1, ArrowRight: here + 1, PageUp: here - far, PageDown: here + far, Home: 0, End: Infinity,
  }[event.key];
  if (event.key === "Escape") leave();
  if (wanted === undefined) return;
  event.preventDefault();
  choose(figure, steps[Math.min(Math.max(wanted, 0), steps.length - 1)], { aloud: true });
});

document.addEventListener("focusout", (event) => {
  // A picture that was replaced by a newer one loses the focus too, and gets it back at once.
  if (pictureOf(event.target) && event.target.isConnected && event.relatedTarget) leave();
});

document.addEventListener("htmx:afterSwap", () => {
  if (chosen !== null) showAll();
});
