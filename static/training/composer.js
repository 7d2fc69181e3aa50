// A message field as in chats: Enter sends, Shift and Enter starts a new line.

document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.altKey || event.isComposing) return;
  const field = event.target.closest("textarea[data-composer]");
  if (!field) return;
  event.preventDefault();
  if (!event.repeat) field.form.requestSubmit();
});
