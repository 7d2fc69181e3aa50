// Rows of radio buttons, one of them selected: digits set its value and move on to the next. A criterion's row
// is enabled after its overall value is set, so that it does not influence that value.

import { AnswerState } from "./answer_state.js";

export class ScaleAnswer extends AnswerState {
  constructor(task, onChange) {
    super(task, onChange);
    this.current = 0;
    for (const [at, line] of this.lines.entries()) {
      line.addEventListener("change", (event) => {
        const value = Number(event.target.value);
        // Arrow keys step through the radio buttons: stay on this row.
        onChange(event.target.matches(":focus-visible") ? this.setValue(at, value) : this.setAndAdvance(at, value));
      });
      line.addEventListener("focusin", () => this.select(at));
      line.addEventListener("pointerdown", () => this.select(at));
    }
  }

  get lines() {
    this.found ??= [...this.task.querySelectorAll(".scale")];
    return this.found;
  }

  get values() {
    return this.state;
  }

  // -- Interface used by Task ---------------------------------------------------------------------------

  isValidState(values) {
    const known = (value, at) => value === null || this.inputOf(at, value);
    return Array.isArray(values) && values.length === this.lines.length && values.every(known);
  }

  restore(values) {
    super.restore(values);
    this.selectFirstMissing();
  }

  load(answer) {
    super.load(answer);
    this.selectFirstMissing();
  }

  digit(number) {
    const value = this.valueOfDigit(number);
    return this.inputOf(this.current, value) ? this.showCurrent(this.setAndAdvance(this.current, value)) : "";
  }

  // Select the first row without a value.
  selectFirstMissing() {
    this.current = Math.max(0, this.values.indexOf(null));
    this.showCurrent();
  }

  // The selected row may be out of view after a key press.
  showCurrent(message) {
    this.lines[this.current].scrollIntoView({ block: "nearest" });
    return message;
  }

  // -- Steps ------------------------------------------------------------------------------------------------

  setValue(at, value) {
    this.pushState(this.values.with(at, value));
    this.current = at;
    return this.describe(at);
  }

  setAndAdvance(at, value) {
    this.setValue(at, value);
    const next = this.values.indexOf(null, at);
    if (this.values.includes(null)) this.current = next >= 0 ? next : this.values.indexOf(null);
    return this.describe(at);
  }

  undo() {
    const after = this.values;
    const message = super.undo();
    const at = this.values.findIndex((value, index) => value !== after[index]);
    if (at < 0) return message;
    this.current = at;
    return this.showCurrent(`${message} ${this.name(at)}: ${this.valueText(at)}.`);
  }

  // -- State ------------------------------------------------------------------------------------------

  isEnabled(at) {
    const { sample, criterion } = this.lines[at].dataset;
    if (!criterion) return true;
    const overall = this.lines.findIndex((line) => line.dataset.sample === sample && !line.dataset.criterion);
    return this.values[overall] !== null;
  }

  select(at) {
    if (this.current === at || !this.isEnabled(at)) return;
    this.current = at;
    this.render();
  }

  describe(at) {
    const rest = this.values.includes(null)
      ? this.current === at ? "" : `Next: ${this.name(this.current)}.`
      : "Enter submits.";
    return `${this.name(at)}: ${this.valueText(at)}. ${rest}`;
  }

  inputOf(at, value) {
    return [...this.lines[at].querySelectorAll("input")].find((input) => Number(input.value) === value);
  }

  // -- View -------------------------------------------------------------------------------------------

  render() {
    for (const [at, line] of this.lines.entries()) {
      line.classList.toggle("current", at === this.current);
      line.disabled = !this.isEnabled(at);
      for (const input of line.querySelectorAll("input")) {
        input.checked = Number(input.value) === this.values[at];
      }
    }
  }
}
