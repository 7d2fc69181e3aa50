// One task being answered, or an answer being changed: its steps, its draft, its lease, its sending. What an
// answer is made of is up to its kind of feedback.

import { activity } from "./activity.js";
import { Picking } from "./best.js";
import { Draft, inWords } from "./draft.js";
import { keyOf } from "./keys.js";
import { Lease } from "./lease.js";
import { Pairing } from "./pair.js";
import { Ranking } from "./rank.js";
import { Reading } from "./reading.js";
import { Rewriting } from "./rewrite.js";
import { press, say } from "./say.js";
import { Scoring } from "./score.js";
import { LOST, SIGNED_OUT } from "./server.js";

const KINDS = { pair: Pairing, rank: Ranking, best: Picking, score: Scoring, rewrite: Rewriting };
const LONGEST_S = 86_400;

export class Task {
  constructor(form) {
    const { assignment, feedback, answer, draft, draftUrl, renewUrl } = form.dataset;
    this.form = form;
    this.id = assignment;
    this.isEdit = answer !== undefined;
    this.comment = form.querySelector("#comment");
    this.notice = form.querySelector("#notice");
    this.allBad = false;
    this.flagged = false;
    this.touched = false; // anything beside the kind's own
    this.secondsBefore = 0; // spent before this page was opened
    this.start = activity.total;
    this.kind = new KINDS[feedback](form, (told) => this.changed(told));
    this.reading = new Reading(form);
    if (this.isEdit) this.load(JSON.parse(answer));
    this.draft = new Draft(this.isEdit ? `edit:${this.id}` : this.id, draftUrl, (went) => this.heard(went));
    this.restore(this.draft.load(draft ? JSON.parse(draft) : null));
    if (renewUrl) this.lease = new Lease(form, (went) => this.heardOfLease(went));
    this.listen();
    this.render();
  }

  listen() {
    this.comment.addEventListener("input", () => this.touch(""));
    this.form.addEventListener("focusin", (event) => {
      const card = event.target.closest(".sample");
      if (!card) return;
      this.reading.focusOn(this.numberOf(card));
      this.kind.focusOn?.(this.numberOf(card));
      this.render();
    });
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
  }

  close() {
    this.draft.flush();
    this.draft.close();
    this.lease?.close();
    this.reading.close();
  }

  // -- Steps ------------------------------------------------------------------------------------------

  // After each step of the kind's own.
  changed(told) {
    this.allBad = false;
    this.settle(told);
  }

  // After anything else that belongs to the answer.
  touch(told) {
    this.touched = true;
    this.settle(told);
  }

  settle(told) {
    this.render();
    this.keep();
    this.tell("");
    say(told);
  }

  // Whether there is such a thing to do here.
  act(name, card) {
    switch (name) {
      case "all_bad":
        this.allBad = !this.allBad;
        this.touch(this.allBad ? "All bad. Enter submits." : "All bad: off.");
        return true;
      case "flag":
        this.flagged = !this.flagged;
        if (this.flagged) this.form.querySelector(".comment").hidden = false;
        this.touch(this.flagged ? `Flagged. Press ${keyOf("comment")} to say what is wrong.` : "Not flagged.");
        return true;
      case "comment":
        this.openComment();
        return true;
      case "undo":
        this.undo();
        return true;
      case "keep":
        this.lease?.renew();
        return true;
      default:
        return this.read(name) || this.step(name, card);
    }
  }

  step(name, card) {
    const told = this.kind.act(name, card && this.numberOf(card));
    if (told) this.changed(told);
    return Boolean(told);
  }

  read(name) {
    const told = this.form.dataset.feedback === "rewrite" && name === "changes" ? undefined : this.reading.act(name);
    say(told);
    return told !== undefined;
  }

  digit(number) {
    const told = this.kind.digit(number);
    if (told) this.changed(told);
    return Boolean(told);
  }

  arrow(key, card) {
    const told = this.kind.arrow?.(key, card ? this.numberOf(card) : undefined);
    if (told) this.changed(told);
    else if (key === "ArrowLeft" || key === "ArrowRight") this.focusBeside(card, key === "ArrowRight" ? 1 : -1);
    else return false;
    return true;
  }

  focusBeside(card, direction) {
    const { cards } = this.reading;
    const at = card ? cards.indexOf(card) + direction : direction > 0 ? 0 : -1;
    cards.at(at % cards.length).focus();
  }

  // With nothing to undo on an untouched task, the answer before it comes back.
  undo() {
    const { before } = this.form.dataset;
    if (this.allBad) {
      this.allBad = false;
      this.touch("All bad: off.");
    } else if (this.kind.canUndo) {
      this.changed(this.kind.act("undo"));
    } else if (before && this.kind.untouched && !this.touched) {
      htmx.ajax("GET", before, { source: document.body, target: "#work" });
    } else {
      say("Nothing to undo.");
    }
  }

  openComment() {
    const panel = this.form.querySelector(".comment");
    const close = !panel.hidden && !this.comment.value && document.activeElement === this.comment;
    panel.hidden = close;
    if (!close) this.comment.focus();
    this.render();
  }

  leave(field) {
    if (!this.form.contains(field)) return false;
    this.form.focus({ preventScroll: true });
    return true;
  }

  numberOf(card) {
    return Number(card.dataset.sample);
  }

  // -- Sending ----------------------------------------------------------------------------------------

  submit() {
    const missing = this.allBad ? "" : this.kind.missing();
    if (missing) {
      this.kind.point?.();
      this.render();
      this.tell(missing);
    } else if (!this.allBad && this.kind.untouched && !(this.isEdit && this.touched)) {
      this.ask(this.kind.question ?? "You have not changed anything. Submit it as it is?");
    } else {
      this.send();
    }
    return true;
  }

  ask(question) {
    const dialog = document.getElementById("unchanged");
    dialog.querySelector("h2").textContent = question;
    dialog.showModal();
  }

  send() {
    this.draft.hold();
    const given = this.allBad ? { all_bad: true } : this.kind.answer();
    this.form.elements.answer.value = JSON.stringify({
      ...given,
      flagged: this.flagged,
      comment: this.comment.value,
      seconds: Math.min(this.seconds, LONGEST_S),
    });
    htmx.trigger(this.form, "hone:submit");
  }

  get seconds() {
    return Math.round((this.secondsBefore * 1000 + activity.total - this.start) / 100) / 10;
  }

  // -- What is kept -----------------------------------------------------------------------------------

  keep() {
    this.draft.save({
      state: this.kind.state, allBad: this.allBad, flagged: this.flagged, comment: this.comment.value,
      seconds: this.seconds,
    });
  }

  restore(draft) {
    if (!draft) return;
    try {
      this.kind.restore(draft.state);
      this.allBad = Boolean(draft.allBad);
      this.flagged = Boolean(draft.flagged);
      this.comment.value = typeof draft.comment === "string" ? draft.comment : "";
      this.secondsBefore = Number(draft.seconds) || 0;
      this.touched = this.allBad || this.flagged || Boolean(this.comment.value);
    } catch {
      // A draft of another version of this page is no use to anybody.
      this.draft.forget();
    }
  }

  load(answer) {
    if (!answer.all_bad) this.kind.load(answer);
    this.allBad = Boolean(answer.all_bad);
    this.flagged = Boolean(answer.flagged);
    this.comment.value = answer.comment ?? "";
    this.secondsBefore = answer.seconds ?? 0;
  }

  heard({ status, text }) {
    this.form.querySelector(".saved").textContent = inWords(status);
    if (status === 204) this.lease?.renewed();
    else this.heardOfLease({ status, text });
  }

  heardOfLease({ status, text, urgent }) {
    if (urgent) say(urgent);
    if (status === LOST) this.lost(text);
    if (status === SIGNED_OUT) this.tell("You are signed out. Your answer is kept in this browser: sign in again to continue.");
  }

  // The task is not held any more: the server says so in its own words, with a button.
  lost(html) {
    this.lease?.close();
    this.form.querySelector(".held").hidden = true;
    this.notice.innerHTML = html;
    htmx.process(this.notice);
  }

  // -- View -------------------------------------------------------------------------------------------

  render() {
    this.kind.render();
    this.form.classList.toggle("all-bad", this.allBad);
    press(this.form.querySelector('[data-act="all_bad"]'), this.allBad);
    press(this.form.querySelector('[data-act="flag"]'), this.flagged);
    const panel = this.form.querySelector(".comment");
    if (this.comment.value) panel.hidden = false;
    panel.querySelector("label").textContent = this.flagged ? "What is wrong with this task? (optional)" : "Comment";
    this.form.querySelector('[data-act="comment"]').setAttribute("aria-expanded", String(!panel.hidden));
    this.form.classList.toggle("ready", this.allBad || this.kind.missing() === "");
  }

  tell(problem) {
    this.notice.textContent = problem;
  }
}
