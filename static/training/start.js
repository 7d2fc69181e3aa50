// The form that starts a run: ready settings fill their fields, and what is not as usual is marked.

const form = document.getElementById("start");
const presets = [...form.querySelectorAll("[data-preset]")].map((link) => ({
  link,
  values: JSON.parse(document.getElementById(link.dataset.preset).textContent),
}));

function controls(name) {
  return [...form.querySelectorAll(`[name="${name}"]`)];
}

function valueOf(name) {
  const [first, ...others] = controls(name);
  if (!first) return undefined;
  if (first.type === "checkbox" && !others.length) return String(first.checked);
  if (first.type === "radio") return [first, ...others].find((each) => each.checked)?.value ?? "";
  return first.value;
}

function same(one, other) {
  if (one === other) return true;
  return one !== "" && other !== "" && Number(one) === Number(other);
}

function put(name, value) {
  for (const control of controls(name)) {
    if (control.type === "checkbox") control.checked = value === "true";
    else if (control.type === "radio") control.checked = control.value === value;
    else control.value = value;
  }
}

function text(value) {
  return value === null || value === undefined ? "" : String(value);
}

function mark() {
  for (const { link, values } of presets) {
    const chosen = Object.entries(values).every(([name, value]) => same(valueOf(name), text(value)));
    if (chosen) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  for (const field of form.querySelectorAll(".hone-field")) {
    const control = field.querySelector("[data-usual]");
    if (!control) continue;
    field.classList.toggle("changed", !same(valueOf(control.name), control.dataset.usual));
  }
  for (const note of form.querySelectorAll("[data-changed]")) {
    const count = note.closest("details").querySelectorAll(".changed").length;
    note.textContent = count ? `${count} not as usual` : "";
  }
}

form.addEventListener("click", (event) => {
  const link = event.target.closest("[data-preset]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const { values } = presets.find((each) => each.link === link);
  for (const [name, value] of Object.entries(values)) put(name, text(value));
  form.dispatchEvent(new Event("change", { bubbles: true }));
});
form.addEventListener("input", mark);
form.addEventListener("change", mark);
document.addEventListener("htmx:afterSettle", mark);
mark();
