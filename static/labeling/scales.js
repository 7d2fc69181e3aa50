// Lines of steps, of which one is marked: digits go there, and the mark moves on. A criterion's line opens
// once the overall choice it belongs to is made, so that it does not lead that choice.

import { Steps } from "./steps.js";

export class Scales extends Steps {
  constructor(task, changed) {
    super(task, changed);
    this.current = 0;
    for (const [at, line] of this.lines.entries()) {
      line.addEventListener("change", (event) => {
        const value = Number(event.target.value);
        // Arrow keys on a radio button go step by step: the mark stays until they are done.
        changed(event.target.matches(":focus-visible") ? this.put(at, value) : this.set(at, value));
      });
      line.addEventListener("focusin", () => this.mark(at));
      line.addEventListener("pointerdown", () => this.mark(at));
    }
  }

  get lines() {
    this.found ??= [...this.task.querySelectorAll(".scale")];
    return this.found;
  }

  get values() {
    return this.state;
  }

  // -- What the rest of the page asks -----------------------------------------------------------------

  fits(values) {
    const known = (value, at) => value === null || this.inputOf(at, value);
    return Array.isArray(values) && values.length === this.lines.length && values.every(known);
  }

  restore(values) {
    super.restore(values);
    this.point();
  }

  load(answer) {
    super.load(answer);
    this.point();
  }

  digit(number) {
    const value = this.valueOf(number);
    return this.inputOf(this.current, value) ? this.seen(this.set(this.current, value)) : "";
  }

  // The mark goes to the first line that wants something.
  point() {
    this.current = Math.max(0, this.values.indexOf(null));
    this.seen();
  }

  // Keys may take the mark out of sight; the mouse and the finger know where they are.
  seen(told) {
    this.lines[this.current].scrollIntoView({ block: "nearest" });
    return told;
  }

  // -- Steps ------------------------------------------------------------------------------------------

  put(at, value) {
    this.step(this.values.with(at, value));
    this.current = at;
    return this.tell(at);
  }

  set(at, value) {
    this.put(at, value);
    const next = this.values.indexOf(null, at);
    if (this.values.includes(null)) this.current = next >= 0 ? next : this.values.indexOf(null);
    return this.tell(at);
  }

  undo() {
    const after = this.values;
    const told = super.undo();
    const at = this.values.findIndex((value, index) => value !== after[index]);
    if (at < 0) return told;
    this.current = at;
    return this.seen(`${told} ${this.name(at)}: ${this.word(at)}.`);
  }

  // -- State ------------------------------------------------------------------------------------------

  isOpen(at) {
    const { sample, criterion } = this.lines[at].dataset;
    if (!criterion) return true;
    const overall = this.lines.findIndex((line) => line.dataset.sample === sample && !line.dataset.criterion);
    return this.values[overall] !== null;
  }

  mark(at) {
    if (this.current === at || !this.isOpen(at)) return;
    this.current = at;
    this.render();
  }

  tell(at) {
    const rest = this.values.includes(null)
      ? this.current === at ? "" : `Next: ${this.name(this.current)}.`
      : "Enter submits.";
    return `${this.name(at)}: ${this.word(at)}. ${rest}`;
  }

  inputOf(at, value) {
    return [...this.lines[at].querySelectorAll("input")].find((input) => Number(input.value) === value);
  }

  // -- View -------------------------------------------------------------------------------------------

  render() {
    for (const [at, line] of this.lines.entries()) {
      line.classList.toggle("current", at === this.current);
      line.disabled = !this.isOpen(at);
      for (const input of line.querySelectorAll("input")) {
        input.checked = Number(input.value) === this.values[at];
      }
    }
  }
}
