// What people hear who cannot see the page: the live region below it.

const announcement = document.getElementById("announcement");

export function announce(text) {
  if (!text) return;
  // The same words twice in a row would not be read out again.
  announcement.textContent = announcement.textContent === text ? `${text}\u00a0` : text;
}

export function setPressed(button, pressed) {
  button?.setAttribute("aria-pressed", String(pressed));
}
