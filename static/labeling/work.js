// The task page: loads tasks into #work and passes key presses and clicks to the current one.

import { activity } from "./activity.js";
import { announce } from "./announce.js";
import { deleteOldDrafts } from "./draft.js";
import { listenForKeys } from "./shortcuts.js";
import { Task } from "./task.js";

const POLL_MS = 5000;
const DIALOGS = new Set(["guidelines", "help", "last", "skip"]);

let current = null; // the Task on the page, if any
let readingSince; // the active time when the samples of the next task began to appear, if they can be read already

// -- Actions; each returns whether it did something -----------------------------------------------------

function act(name, card) {
  const dialog = DIALOGS.has(name) && document.getElementById(name);
  if (dialog) {
    open(dialog);
    return true;
  }
  if (current) return current.act(name, card);
  const previousAnswerUrl = document.querySelector("#work [data-previous-answer-url]")?.dataset.previousAnswerUrl;
  if (name !== "undo" || !previousAnswerUrl) return false;
  htmx.ajax("GET", previousAnswerUrl, { source: document.body, target: "#work" });
  return true;
}

function open(dialog) {
  if (dialog.id === "guidelines") document.getElementById("guidelines-new")?.remove();
  if (dialog.id === "last") htmx.trigger("#last-answers", "hone:open");
  dialog.showModal();
}

listenForKeys({
  act,
  digit: (number) => Boolean(current?.digit(number)),
  arrow: (key, card) => Boolean(current?.arrow(key, card)),
  submit: () => Boolean(current?.submit()),
  leave: (field) => Boolean(current?.leave(field)),
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-act]");
  if (!button) return;
  const { act: name } = button.dataset;
  const dialog = button.closest("dialog");
  if (name === "close" || name === "send") {
    dialog.close();
    if (name === "send") current?.send();
    return;
  }
  const card = button.closest(".sample");
  // After a click or tap, Enter should submit and not press the same button again.
  if (current && !dialog && event.detail > 0) (card ?? current.form).focus({ preventScroll: true });
  act(name, card);
});

// -- Loading tasks ------------------------------------------------------------------------------------

function mount() {
  const form = document.getElementById("task");
  current = form ? new Task(form, readingSince) : null;
  readingSince = document.querySelector("#work .arriving") ? activity.total : undefined;
  const begin = form ?? document.querySelector("#work [autofocus]") ?? document.getElementById("idle");
  begin?.focus({ preventScroll: !begin.matches("[data-composer]") });
}

// The answer is stored or the task skipped: the draft is no longer needed.
document.addEventListener("hone:stored", () => current?.draft.discard());

document.addEventListener("htmx:beforeSwap", (event) => {
  const { xhr, target } = event.detail;
  if (xhr.status !== 200) {
    document.querySelector("dialog[open]")?.close();
  } else if (target.id === "work") {
    current?.close();
    for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  }
});

document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target.id !== "work") return;
  const previous = current;
  window.scrollTo(0, 0);
  mount();
  const path = event.detail.pathInfo.requestPath;
  if (path.endsWith("/claim/") && previous && current && !previous.isEdit) {
    const same = current.id === previous.id;
    current.showNotice(same ? "It is yours again, as you left it." : "That task went to someone else. Here is another one.");
  } else if (path.endsWith("/revise/")) {
    announce("The new version is saved. Back to your task.");
  } else if (path.endsWith("/edit/")) {
    announce("Your answer is open for editing.");
  } else if (current) {
    announce(current.form.dataset.announcement ?? "Next task.");
  } else {
    announce(document.querySelector("#work h2")?.textContent);
  }
});

document.addEventListener("htmx:sendError", () => {
  current?.showNotice("No connection. Your answer is kept on this page: press Enter to try again.");
});

document.addEventListener("htmx:responseError", (event) => {
  current?.showNotice(`Something went wrong (error ${event.detail.xhr.status}). Your answer is kept on this page: try again, or reload.`);
});

document.addEventListener("visibilitychange", () => {
  if (document.hidden) current?.draft.flush();
  else poll();
});

window.addEventListener("pagehide", () => current?.draft.flush());

function poll() {
  const idle = document.querySelector("#idle form");
  if (idle && !document.hidden) htmx.trigger(idle, "hone:poll");
}

setInterval(poll, POLL_MS);
deleteOldDrafts();
mount();
