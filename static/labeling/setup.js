// Project settings and people: copy a link, report failed requests.

const trouble = document.getElementById("trouble");

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const field = document.getElementById(button.dataset.copy);
  const copyStatus = button.parentElement.querySelector("[data-copied]");
  field.select();
  try {
    await navigator.clipboard.writeText(field.value);
    copyStatus.textContent = "Copied.";
  } catch {
    // There is no clipboard without a secure connection: the link is selected for Ctrl+C.
    copyStatus.textContent = "Selected: press Ctrl+C.";
  }
});

function showError(text) {
  trouble.textContent = text;
  trouble.hidden = !text;
  if (text) trouble.scrollIntoView({ block: "nearest" });
}

document.addEventListener("htmx:beforeRequest", () => showError(""));
document.addEventListener("htmx:sendError", () => {
  showError("No connection. Nothing was saved. What you typed is still here: try again.");
});
document.addEventListener("htmx:responseError", (event) => {
  const { status } = event.detail.xhr;
  if (status === 400 || status === 413) showError("That is too much text to paste. Save it as a file and choose the file instead.");
  else showError(`Something went wrong (error ${status}). Nothing was saved. What you typed is still here.`);
});
