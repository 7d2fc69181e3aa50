// A task being answered, or an answer being edited: actions, draft, lease, submission. The classes in KINDS
// hold the answer of each kind of feedback.

import { activity } from "./activity.js";
import { announce, setPressed } from "./announce.js";
import { BestAnswer } from "./best.js";
import { Draft, statusText } from "./draft.js";
import { Lease } from "./lease.js";
import { PairAnswer } from "./pair.js";
import { RankAnswer } from "./rank.js";
import { LOST, SIGNED_OUT } from "./requests.js";
import { RewriteAnswer } from "./rewrite.js";
import { ScoreAnswer } from "./score.js";
import { keyLabel } from "./shortcuts.js";
import { TextView } from "./text_view.js";

const KINDS = { pair: PairAnswer, rank: RankAnswer, best: BestAnswer, score: ScoreAnswer, rewrite: RewriteAnswer };
const MAX_SECONDS = 86_400;

export class Task {
  constructor(form, since = activity.total) {
    const { task, feedback, answer, draft, draftUrl, renewUrl } = form.dataset;
    this.form = form;
    this.id = task;
    this.isEdit = answer !== undefined;
    this.comment = form.querySelector("#comment");
    this.notice = form.querySelector("#notice");
    this.allBad = false;
    this.flagged = false;
    this.touched = false; // all bad, flag or comment changed
    this.secondsBefore = 0; // from a draft or a stored answer
    this.start = since; // of the active time
    this.kind = new KINDS[feedback](form, (message) => this.onChange(message));
    this.textView = new TextView(form);
    if (this.isEdit) this.load(JSON.parse(answer));
    this.draft = new Draft(this.isEdit ? `edit:${this.id}` : this.id, draftUrl, (result) => this.onDraftResult(result));
    this.restore(this.draft.load(draft ? JSON.parse(draft) : null));
    if (renewUrl) this.lease = new Lease(form, (result) => this.onLeaseResult(result));
    this.listen();
    this.render();
  }

  listen() {
    this.comment.addEventListener("input", () => this.markTouched(""));
    this.form.addEventListener("focusin", (event) => {
      const card = event.target.closest(".sample");
      if (!card) return;
      this.textView.focusOn(this.sampleIndex(card));
      this.kind.focusOn?.(this.sampleIndex(card));
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
    this.textView.close();
  }

  // -- Steps ------------------------------------------------------------------------------------------

  // After a change of the kind's own answer.
  onChange(message) {
    this.allBad = false;
    this.update(message);
  }

  // After a change of anything else: all bad, flag, comment.
  markTouched(message) {
    this.touched = true;
    this.update(message);
  }

  update(message) {
    this.render();
    this.saveDraft();
    this.showNotice("");
    announce(message);
  }

  // Returns whether the action exists here.
  act(name, card) {
    switch (name) {
      case "all_bad":
        this.allBad = !this.allBad;
        this.markTouched(this.allBad ? "All bad. Enter submits." : "All bad: off.");
        return true;
      case "flag":
        this.flagged = !this.flagged;
        if (this.flagged) this.form.querySelector(".comment").hidden = false;
        this.markTouched(this.flagged ? `Flagged. Press ${keyLabel("comment")} to say what is wrong.` : "Not flagged.");
        return true;
      case "comment":
        this.toggleComment();
        return true;
      case "undo":
        this.undo();
        return true;
      case "keep":
        this.lease?.renew();
        return true;
      default:
        return this.actOnText(name) || this.actOnAnswer(name, card);
    }
  }

  actOnAnswer(name, card) {
    const message = this.kind.act(name, card && this.sampleIndex(card));
    if (message) this.onChange(message);
    return Boolean(message);
  }

  actOnText(name) {
    const message = this.form.dataset.feedback === "rewrite" && name === "changes" ? undefined : this.textView.act(name);
    announce(message);
    return message !== undefined;
  }

  digit(number) {
    const message = this.kind.digit(number);
    if (message) this.onChange(message);
    return Boolean(message);
  }

  arrow(key, card) {
    const message = this.kind.arrow?.(key, card ? this.sampleIndex(card) : undefined);
    if (message) this.onChange(message);
    else if (key === "ArrowLeft" || key === "ArrowRight") this.focusBeside(card, key === "ArrowRight" ? 1 : -1);
    else return false;
    return true;
  }

  focusBeside(card, direction) {
    const { cards } = this.textView;
    const at = card ? cards.indexOf(card) + direction : direction > 0 ? 0 : -1;
    cards.at(at % cards.length).focus();
  }

  // On an untouched task, undo opens the previous answer.
  undo() {
    const { previousAnswerUrl } = this.form.dataset;
    if (this.allBad) {
      this.allBad = false;
      this.markTouched("All bad: off.");
    } else if (this.kind.canUndo) {
      this.onChange(this.kind.act("undo"));
    } else if (previousAnswerUrl && this.kind.isUntouched && !this.touched) {
      htmx.ajax("GET", previousAnswerUrl, { source: document.body, target: "#work" });
    } else {
      announce("Nothing to undo.");
    }
  }

  toggleComment() {
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

  sampleIndex(card) {
    return Number(card.dataset.sample);
  }

  // -- Submit -----------------------------------------------------------------------------------------

  submit() {
    const missing = this.allBad ? "" : this.kind.missingMessage();
    if (missing) {
      this.kind.selectFirstMissing?.();
      this.render();
      this.showNotice(missing);
    } else if (!this.allBad && this.kind.isUntouched && !(this.isEdit && this.touched)) {
      this.confirmSubmit(this.kind.question ?? "You have not changed anything. Submit it as it is?");
    } else {
      this.send();
    }
    return true;
  }

  confirmSubmit(question) {
    const dialog = document.getElementById("unchanged");
    dialog.querySelector("h2").textContent = question;
    dialog.showModal();
  }

  send() {
    this.draft.postpone();
    const given = this.allBad ? { all_bad: true } : this.kind.answer();
    this.form.elements.answer.value = JSON.stringify({
      ...given,
      flagged: this.flagged,
      comment: this.comment.value,
      seconds: Math.min(this.seconds, MAX_SECONDS),
    });
    htmx.trigger(this.form, "hone:submit");
  }

  get seconds() {
    return Math.round((this.secondsBefore * 1000 + activity.total - this.start) / 100) / 10;
  }

  // -- Drafts -----------------------------------------------------------------------------------------

  saveDraft() {
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
      // The draft is of another version of this page.
      this.draft.discard();
    }
  }

  load(answer) {
    if (!answer.all_bad) this.kind.load(answer);
    this.allBad = Boolean(answer.all_bad);
    this.flagged = Boolean(answer.flagged);
    this.comment.value = answer.comment ?? "";
    this.secondsBefore = answer.seconds ?? 0;
  }

  onDraftResult({ status, text }) {
    this.form.querySelector(".saved").textContent = statusText(status);
    if (status === 204) this.lease?.restart();
    else this.onLeaseResult({ status, text });
  }

  onLeaseResult({ status, text, urgent }) {
    if (urgent) announce(urgent);
    if (status === LOST) this.showLeaseLost(text);
    if (status === SIGNED_OUT) this.showNotice("You are signed out. Your answer is kept in this browser: sign in again to continue.");
  }

  // The lease is lost: the server's response explains it and has a button.
  showLeaseLost(html) {
    this.lease?.close();
    this.form.querySelector(".held").hidden = true;
    this.notice.innerHTML = html;
    htmx.process(this.notice);
  }

  // -- View -------------------------------------------------------------------------------------------

  render() {
    this.kind.render();
    this.form.classList.toggle("all-bad", this.allBad);
    setPressed(this.form.querySelector('[data-act="all_bad"]'), this.allBad);
    setPressed(this.form.querySelector('[data-act="flag"]'), this.flagged);
    const panel = this.form.querySelector(".comment");
    if (this.comment.value) panel.hidden = false;
    panel.querySelector("label").textContent = this.flagged ? "What is wrong with this task? (optional)" : "Comment";
    this.form.querySelector('[data-act="comment"]').setAttribute("aria-expanded", String(!panel.hidden));
    this.form.classList.toggle("ready", this.allBad || this.kind.missingMessage() === "");
  }

  showNotice(problem) {
    this.notice.textContent = problem;
  }
}
