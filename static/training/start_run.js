// The form that starts a run: presets fill their fields; fields that differ from their defaults are marked.

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

function isEqual(one, other) {
  if (one === other) return true;
  return one !== "" && other !== "" && Number(one) === Number(other);
}

function setValue(name, value) {
  for (const control of controls(name)) {
    if (control.type === "checkbox") control.checked = value === "true";
    else if (control.type === "radio") control.checked = control.value === value;
    else control.value = value;
  }
}

function toText(value) {
  return value === null || value === undefined ? "" : String(value);
}

function markChanges() {
  for (const { link, values } of presets) {
    const isSelected = Object.entries(values).every(([name, value]) => isEqual(valueOf(name), toText(value)));
    if (isSelected) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  for (const field of form.querySelectorAll(".hone-field")) {
    const control = field.querySelector("[data-default]");
    if (!control) continue;
    field.classList.toggle("changed", !isEqual(valueOf(control.name), control.dataset.default));
  }
  for (const note of form.querySelectorAll("[data-changed-count]")) {
    const count = note.closest("details").querySelectorAll(".changed").length;
    note.textContent = count ? `${count} changed` : "";
  }
}

form.addEventListener("click", (event) => {
  const link = event.target.closest("[data-preset]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const { values } = presets.find((each) => each.link === link);
  for (const [name, value] of Object.entries(values)) setValue(name, toText(value));
  form.dispatchEvent(new Event("change", { bubbles: true }));
});
form.addEventListener("input", markChanges);
form.addEventListener("change", markChanges);
document.addEventListener("htmx:afterSettle", markChanges);
markChanges();
