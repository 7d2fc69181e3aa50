// A rewritten text that starts from one of the samples or from scratch. Each starting point keeps its own text,
// so that switching back restores it.

import { setPressed } from "./announce.js";
import { AnswerState } from "./answer_state.js";
import { wordDiff } from "./diff.js";

const NOTHING = "nothing";
const ELEMENTS = { same: "span", removed: "del", added: "ins" };

export class RewriteAnswer extends AnswerState {
  constructor(task, onChange) {
    super(task, onChange);
    this.editor = task.querySelector(".writing");
    this.field = this.editor.querySelector("textarea");
    this.difference = this.editor.querySelector(".difference");
    this.dialog = task.querySelector(".switch");
    this.requestedSource = null; // the source to switch to, while the confirmation is open
    this.field.addEventListener("input", () => onChange(this.setText(this.field.value)));
    // Typing until the field loses focus is one undo step.
    this.field.addEventListener("focusout", () => { this.writing = false; });
    this.dialog.addEventListener("close", () => this.field.focus());
  }

  get source() {
    return this.state.source;
  }

  get text() {
    return this.state.texts[this.source] ?? "";
  }

  // -- Interface used by Task ---------------------------------------------------------------------------

  stateFromAnswer({ text, edited }) {
    if (!text) return { source: null, texts: {} };
    const source = edited ? edited - 1 : NOTHING;
    return { source, texts: { [source]: text } };
  }

  isValidState(state) {
    const known = (source) => source === NOTHING || source in this.cards;
    return Boolean(state?.texts) && (state.source === null || known(state.source)) &&
      Object.entries(state.texts).every(([source, text]) => known(source) && typeof text === "string");
  }

  answer() {
    const text = this.text.trim();
    return this.source === NOTHING ? { text } : { text, edited: this.source + 1 };
  }

  missingMessage() {
    if (this.source === null) {
      return "Nothing is written yet. Press the number of the sample to edit, or write from scratch.";
    }
    return this.text.trim() ? "" : "The text is empty. Write something, or choose “All bad”.";
  }

  get isCopy() {
    return this.source in this.cards && this.text.trim() === this.original(this.source).trim();
  }

  get isUntouched() {
    return super.isUntouched || this.isCopy;
  }

  get question() {
    return this.isCopy
      ? `This is sample ${this.source + 1}, unchanged. Submit it as the right answer?`
      : "Your text is unchanged. Submit it again?";
  }

  digit(number) {
    return number <= this.cards.length ? this.requestSource(number - 1) : "";
  }

  act(name, sample) {
    switch (name) {
      case "edit": return this.requestSource(sample);
      case "nothing": return this.requestSource(NOTHING);
      case "switch": return this.setSource(this.requestedSource);
      case "changes": return this.toggleDifference();
      default: return super.act(name);
    }
  }

  // -- Steps ------------------------------------------------------------------------------------------------

  // Switching the source hides what was written, so it needs a confirmation.
  requestSource(source) {
    if (source === this.source) return this.setSource(source);
    const begun = this.source !== null && this.text !== this.original(this.source);
    if (!begun) return this.setSource(source);
    this.requestedSource = source;
    for (const to of this.dialog.querySelectorAll(".to")) to.textContent = this.name(source);
    this.dialog.querySelector(".from").textContent = this.name(this.source);
    this.dialog.showModal();
    return "";
  }

  setSource(source) {
    const kept = this.state.texts[source];
    if (source !== this.source) {
      this.pushState({ source, texts: { ...this.state.texts, [source]: kept ?? this.original(source) } });
    }
    this.writing = false;
    this.render();
    if (this.dialog.open) this.dialog.close();
    this.field.focus();
    if (kept === undefined) {
      this.field.setSelectionRange(0, 0);
      this.field.scrollTop = 0;
    }
    return `Your text, from ${this.name(source)}${kept === undefined ? "" : ", as you left it"}.`;
  }

  setText(text) {
    const state = { source: this.source, texts: { ...this.state.texts, [this.source]: text } };
    if (this.writing) this.state = state;
    else this.pushState(state);
    this.writing = true;
    return "";
  }

  undo() {
    this.writing = false;
    return super.undo();
  }

  toggleDifference() {
    if (!(this.source in this.cards)) return "There is no sample to compare with.";
    this.difference.hidden = !this.difference.hidden;
    return this.difference.hidden ? "Changes hidden." : "Changes shown.";
  }

  // -- State ------------------------------------------------------------------------------------------

  // The source of a sample: its Markdown if there is any, else its plain text.
  original(source) {
    const card = this.cards[source];
    return (card?.querySelector(".source") ?? card?.querySelector(".text"))?.textContent ?? "";
  }

  name(source) {
    return source === NOTHING ? "scratch" : `sample ${source + 1}`;
  }

  // -- View -------------------------------------------------------------------------------------------

  render() {
    const { source } = this;
    const edits = source in this.cards;
    for (const [sample, card] of this.cards.entries()) {
      card.classList.toggle("placed", sample === source);
      card.querySelector(".status").textContent = sample === source ? "Editing" : "";
      card.querySelector(".edit").setAttribute("aria-pressed", String(sample === source));
    }
    setPressed(this.task.querySelector('[data-act="nothing"]'), source === NOTHING);
    this.editor.hidden = source === null;
    this.task.querySelector(".start-hint").hidden = source !== null;
    if (source === null) return;
    this.editor.querySelector("label").textContent = edits ? `Your text, from sample ${source + 1}` : "Your text";
    if (this.field.value !== this.text) this.field.value = this.text;
    const words = countWords(this.text);
    this.editor.querySelector(".count").textContent = edits
      ? `${words} words · the sample had ${countWords(this.original(source))}`
      : `${words} ${words === 1 ? "word" : "words"}`;
    this.difference.hidden ||= !edits;
    const button = this.editor.querySelector('[data-act="changes"]');
    button.hidden = !edits;
    button.setAttribute("aria-expanded", String(!this.difference.hidden));
    if (!this.difference.hidden) this.renderDifference();
  }

  renderDifference() {
    const parts = wordDiff(this.original(this.source), this.text);
    this.difference.replaceChildren(...parts.map(({ change, text }) => {
      const part = document.createElement(ELEMENTS[change]);
      part.textContent = text;
      return part;
    }));
  }
}

const segmenter = new Intl.Segmenter(undefined, { granularity: "word" });

// The number of words, also in scripts without spaces.
function countWords(text) {
  return [...segmenter.segment(text)].filter((segment) => segment.isWordLike).length;
}
