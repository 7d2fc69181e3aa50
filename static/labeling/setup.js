// Project settings and people: copy a link, report failed requests.

const trouble = document.getElementById("trouble");

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const field = document.getElementById(button.dataset.copy);
  const told = button.parentElement.querySelector("[data-copied]");
  field.select();
  try {
    await navigator.clipboard.writeText(field.value);
    told.textContent = "Copied.";
  } catch {
    // There is no clipboard without a secure connection: the link is selected for Ctrl+C.
    told.textContent = "Selected: press Ctrl+C.";
  }
});

function say(text) {
  trouble.textContent = text;
  trouble.hidden = !text;
  if (text) trouble.scrollIntoView({ block: "nearest" });
}

document.addEventListener("htmx:beforeRequest", () => say(""));
document.addEventListener("htmx:sendError", () => {
  say("No connection. Nothing was saved. What you typed is still here: try again.");
});
document.addEventListener("htmx:responseError", (event) => {
  const { status } = event.detail.xhr;
  if (status === 400 || status === 413) say("That is too much text to paste. Save it as a file and choose the file instead.");
  else say(`Something went wrong (error ${status}). Nothing was saved. What you typed is still here.`);
});
