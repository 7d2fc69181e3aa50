// The page on which people answer: keys, the draft, the lease, and what is said about them.
// What an answer is made of is up to its kind of feedback: rank.js and score.js.

import { Picking } from "./best.js";
import { Pairing } from "./pair.js";
import { Ranking } from "./rank.js";
import { Rewriting } from "./rewrite.js";
import { Scoring } from "./score.js";

const KINDS = { pair: Pairing, rank: Ranking, best: Picking, score: Scoring, rewrite: Rewriting };
const POLL_MS = 5000;
const KEYS = {
  t: "tie", w: "nothing", d: "changes", u: "undo", b: "all-bad", s: "skip", f: "flag", c: "comment", g: "guidelines", "?": "help",
};

const announcement = document.getElementById("announcement");
let current = null; // the Work on the page, if there is a task

class Work {
  constructor(task) {
    this.task = task;
    this.id = task.dataset.assignment;
    this.draftKey = `hone:draft:${this.id}`;
    this.comment = task.querySelector("#comment");
    this.allBad = false;
    this.flagged = false;
    this.seconds = 0; // spent with the page in sight
    this.inSight = !document.hidden;
    this.seenAt = performance.now();
    this.kind = new KINDS[task.dataset.feedback](task, (told) => this.changed(told));
    this.restore();
    this.comment.addEventListener("input", () => this.save());
    task.addEventListener("focusin", (event) => {
      const card = event.target.closest(".sample");
      if (!card || !this.kind.focusOn) return;
      this.kind.focusOn(Number(card.dataset.sample));
      this.render();
    });
    task.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    this.renewal = setInterval(() => this.renew(), Number(task.dataset.renewSeconds) * 1000);
    this.render();
  }

  close() {
    clearInterval(this.renewal);
  }

  // -- Steps ------------------------------------------------------------------------------------------

  changed(told) {
    this.allBad = false;
    this.render();
    this.save();
    this.tell("");
    say(told);
  }

  act(name, card) {
    const sample = card ? Number(card.dataset.sample) : undefined;
    switch (name) {
      case "all-bad":
        this.allBad = !this.allBad;
        say(this.allBad ? "All bad. Enter submits." : "Not all bad.");
        break;
      case "flag":
        this.flagged = !this.flagged;
        say(this.flagged ? "Flagged." : "Not flagged.");
        break;
      case "comment":
        this.openComment();
        break;
      case "skip":
        document.getElementById("skip").showModal();
        return;
      case "undo":
        if (!this.allBad) {
          this.changed(this.kind.act(name, sample));
          return;
        }
        this.allBad = false;
        say("Not all bad.");
        break;
      default:
        this.changed(this.kind.act(name, sample));
        return;
    }
    this.render();
    this.save();
    this.tell("");
  }

  digit(number) {
    const told = this.kind.digit(number);
    if (told) this.changed(told);
  }

  openComment() {
    const panel = this.task.querySelector(".comment");
    panel.hidden = !panel.hidden && !this.comment.value;
    if (!panel.hidden) this.comment.focus();
  }

  submit() {
    const missing = this.allBad ? "" : this.kind.missing();
    if (missing) {
      this.kind.point?.();
      this.render();
      this.tell(missing);
      return;
    }
    this.countTime();
    const given = this.allBad ? { all_bad: true } : this.kind.answer();
    this.task.elements.answer.value = JSON.stringify({
      ...given,
      flagged: this.flagged,
      comment: this.comment.value,
      seconds: Math.min(Math.round(this.seconds * 10) / 10, 86400),
    });
    htmx.trigger(this.task, "hone:submit");
  }

  // -- Time and lease ---------------------------------------------------------------------------------

  // Called whenever the page goes out of sight or comes back: the time since was spent the other way.
  countTime() {
    const now = performance.now();
    if (this.inSight) this.seconds += (now - this.seenAt) / 1000;
    this.seenAt = now;
    this.inSight = !document.hidden;
  }

  renew() {
    if (document.hidden) return;
    // Not from the task itself, whose own requests would wait for this one.
    htmx.ajax("POST", this.task.dataset.renewUrl, { source: document.body, target: "#notice", swap: "innerHTML" });
  }

  // -- Draft ------------------------------------------------------------------------------------------

  save() {
    const draft = {
      state: this.kind.state, allBad: this.allBad, flagged: this.flagged, comment: this.comment.value,
    };
    try {
      sessionStorage.setItem(this.draftKey, JSON.stringify(draft));
    } catch {
      // A full or forbidden store: the page works without drafts.
    }
  }

  restore() {
    try {
      const draft = JSON.parse(sessionStorage.getItem(this.draftKey));
      if (!draft) return;
      this.kind.restore(draft.state);
      this.allBad = Boolean(draft.allBad);
      this.flagged = Boolean(draft.flagged);
      this.comment.value = draft.comment ?? "";
    } catch {
      // A draft of another version of this page is no use to anybody.
      sessionStorage.removeItem(this.draftKey);
    }
  }

  forget() {
    sessionStorage.removeItem(this.draftKey);
  }

  // -- View -------------------------------------------------------------------------------------------

  render() {
    this.kind.render();
    this.task.classList.toggle("all-bad", this.allBad);
    press(this.task.querySelector('[data-act="all-bad"]'), this.allBad);
    press(this.task.querySelector('[data-act="flag"]'), this.flagged);
    const panel = this.task.querySelector(".comment");
    if (this.comment.value) panel.hidden = false;
    this.task.querySelector('[data-act="comment"]').setAttribute("aria-expanded", String(!panel.hidden));
    this.task.classList.toggle("ready", this.allBad || this.kind.missing() === "");
  }

  tell(problem) {
    this.task.querySelector("#notice").textContent = problem;
  }
}

function press(button, pressed) {
  button.setAttribute("aria-pressed", String(pressed));
}

function say(text) {
  // The same words twice in a row would not be read out again.
  announcement.textContent = announcement.textContent === text ? `${text}\u00a0` : text;
}

// -- Keys ---------------------------------------------------------------------------------------------

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("textarea, select, input:not([type=radio])");
  if (typing && current?.task.contains(typing)) {
    if (event.key === "Escape") current.task.focus({ preventScroll: true });
    else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) current.submit();
  }
  if (typing || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const dialog = document.querySelector("dialog[open]");
  if (dialog) {
    // The key that opened a window closes it, and so does Enter unless a button or a link takes it.
    const own = KEYS[event.key.toLowerCase()] === dialog.id;
    if (own || (event.key === "Enter" && !event.target.closest("button, a"))) {
      dialog.close();
      event.preventDefault();
    }
    return;
  }
  const handled = event.key.startsWith("Arrow") ? arrow(event) : !event.repeat && single(event);
  if (handled) event.preventDefault();
});

function single(event) {
  const key = event.key.toLowerCase();
  if (key === "g" || key === "?") {
    document.getElementById(KEYS[key]).showModal();
    return true;
  }
  if (!current) return false;
  if (/^[1-9]$/.test(key)) {
    current.digit(Number(key));
    return true;
  }
  if (key === "enter") {
    // A button that was reached by keyboard is pressed by Enter, as everywhere.
    if (event.target.closest("button, a")) return false;
    current.submit();
    return true;
  }
  if (!current.task.querySelector(`[data-act="${KEYS[key]}"]`)) return false;
  current.act(KEYS[key]);
  return true;
}

function arrow(event) {
  if (!current || event.target.closest("input")) return false;
  const { cards } = current.kind;
  const card = event.target.closest(".sample");
  const at = cards.indexOf(card);
  const told = current.kind.arrow?.(event.key, at < 0 ? undefined : at);
  if (told) {
    current.changed(told);
    return true;
  }
  switch (event.key) {
    case "ArrowRight":
      cards[(at + 1) % cards.length].focus();
      return true;
    case "ArrowLeft":
      cards[(Math.max(at, 0) - 1 + cards.length) % cards.length].focus();
      return true;
    default:
      return false;
  }
}

// -- Buttons ------------------------------------------------------------------------------------------

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-act]");
  if (!button) return;
  const { act } = button.dataset;
  if (act === "close") button.closest("dialog").close();
  else if (act === "guidelines" || act === "help") document.getElementById(act).showModal();
  else if (current) {
    const card = button.closest(".sample");
    // After a mouse or a finger, Enter should submit and not press the same button again.
    if (event.detail > 0) (card ?? current.task).focus({ preventScroll: true });
    current.act(act, card);
  }
});

// -- Coming and going of tasks ------------------------------------------------------------------------

function mount() {
  current?.close();
  const task = document.getElementById("task");
  current = task ? new Work(task) : null;
  task?.focus({ preventScroll: true });
}

document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target.id !== "work") return;
  const before = current?.id;
  mount();
  window.scrollTo(0, 0);
  const reclaimed = before && event.detail.pathInfo.requestPath.endsWith("/claim/");
  if (reclaimed && current) {
    const same = current.id === before;
    current.tell(same ? "Here it is again, as you left it." : "That task went to somebody else. Here is another.");
  } else {
    say(current ? "Next task." : "Nothing to do at the moment.");
  }
});

document.addEventListener("htmx:beforeSwap", (event) => {
  // The answer is stored, or the task left to others: its draft has done its work.
  const { xhr, requestConfig } = event.detail;
  if (xhr.status === 200 && /\/(submit|skip)\/$/.test(requestConfig.path)) current?.forget();
  if (xhr.status !== 200) document.querySelector("dialog[open]")?.close();
});

document.addEventListener("htmx:sendError", () => {
  current?.tell("No connection. Your answer is kept here: press Enter to try again.");
});

document.addEventListener("htmx:responseError", (event) => {
  current?.tell(`That did not work (${event.detail.xhr.status}). Your answer is kept here: try again, or reload.`);
});

document.addEventListener("visibilitychange", () => {
  current?.countTime();
  if (document.hidden) return;
  current?.renew();
  poll();
});

function poll() {
  const idle = document.querySelector("#idle form");
  if (idle && !document.hidden) htmx.trigger(idle, "hone:poll");
}

setInterval(poll, POLL_MS);
mount();
