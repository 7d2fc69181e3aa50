// Announcements for screen readers, in the live region below the page.

const announcement = document.getElementById("announcement");

export function announce(text) {
  if (!text) return;
  // Screen readers skip a text that is set twice in a row, so a space is added.
  announcement.textContent = announcement.textContent === text ? `${text}\u00a0` : text;
}

export function setPressed(button, pressed) {
  button?.setAttribute("aria-pressed", String(pressed));
}
