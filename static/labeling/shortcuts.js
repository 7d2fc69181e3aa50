// Keyboard shortcuts: the key of each action (annotators may change it), and the handler of key presses.

const KEYS = JSON.parse(document.getElementById("work").dataset.keys); // by action
const ACTIONS = new Map(Object.entries(KEYS).map(([action, key]) => [key, action]));

// The key as shown on its button.
export function keyLabel(action) {
  return KEYS[action]?.toUpperCase();
}

// `page` has act(name), digit(number), arrow(key, card), submit() and leave(field), which return whether they
// did anything. While a dialog is open, only its own keys do.
export function listenForKeys(page) {
  document.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    const field = event.target.closest("textarea, select, [contenteditable], input:not([type=radio], [type=checkbox])");
    const dialog = document.querySelector("dialog[open]");
    const handled = field ? inField(event, field, dialog) : !modified(event) && (dialog ? inDialog(event, dialog) : onPage(event));
    if (handled) event.preventDefault();
  });

  // Shortcuts are off in text fields.
  function inField(event, field, dialog) {
    if (dialog) return false;
    if (event.key === "Escape") return page.leave(field);
    return event.key === "Enter" && (event.ctrlKey || event.metaKey) && page.submit();
  }

  // The key that opened a dialog closes it, a digit presses the button with that number, and Enter presses the
  // primary button unless another button or link has the focus.
  function inDialog(event, dialog) {
    const digit = digitOf(event);
    const numbered = digit ? dialog.querySelector(`[data-digit="${digit}"]`) : null;
    if (numbered?.matches("input")) numbered.focus();
    else if (numbered) numbered.click();
    else if (actionOf(event) === dialog.id) dialog.close();
    else if (event.key === "Enter" && !event.target.closest("button, a")) dialog.querySelector(".primary").click();
    else return false;
    return true;
  }

  function onPage(event) {
    if (event.key.startsWith("Arrow")) return !event.target.closest("input") && page.arrow(event.key, event.target.closest(".sample"));
    if (event.repeat) return false;
    // Enter presses a focused button.
    if (event.key === "Enter") return !event.target.closest("button, a") && page.submit();
    const digit = digitOf(event);
    if (digit) return page.digit(digit);
    const action = actionOf(event);
    return action !== undefined && page.act(action);
  }
}

function modified(event) {
  return event.ctrlKey || event.metaKey || event.altKey;
}

// On keyboards with another script, letters and some digits are on other keys: the position of the key
// counts.
function actionOf(event) {
  const place = /^[ -~]$/.test(event.key) ? "" : /^Key(.)$/.exec(event.code)?.[1].toLowerCase();
  return ACTIONS.get(event.key.toLowerCase()) ?? ACTIONS.get(place);
}

function digitOf(event) {
  if (/^[1-9]$/.test(event.key)) return Number(event.key);
  if (ACTIONS.has(event.key.toLowerCase()) || event.shiftKey) return 0;
  return Number(/^(?:Digit|Numpad)([1-9])$/.exec(event.code)?.[1] ?? 0);
}
