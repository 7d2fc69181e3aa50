// Key fields are set by pressing a key; without this script they are typed like text.

const fields = [...document.querySelectorAll("input.key")];
const label = (field) => field.labels[0].textContent.trim();

// Early feedback; the server validates again.
function check() {
  for (const field of fields) {
    const key = field.value.toLowerCase();
    const other = key && fields.find((one) => one !== field && one.value.toLowerCase() === key);
    let problem = "";
    if (other) problem = `${field.value} is already used for “${label(other)}”.`;
    if (/^\p{Nd}$/u.test(key)) problem = "Digits are reserved for ranks, grades and scores.";
    document.getElementById(`${field.id}-problem`).textContent = problem;
    field.toggleAttribute("aria-invalid", Boolean(problem));
    if (problem) field.setAttribute("aria-invalid", "true");
  }
}

const capital = (key) => (key.toUpperCase().length === 1 ? key.toUpperCase() : key);

for (const field of fields) {
  field.addEventListener("focus", () => field.select());
  field.addEventListener("keydown", (event) => {
    const { key, ctrlKey, metaKey, altKey, isComposing } = event;
    if (key.length !== 1 || key === " " || ctrlKey || metaKey || altKey || isComposing) return;
    event.preventDefault();
    field.value = capital(key);
    field.select();
    check();
  });
  field.addEventListener("input", check);
}
