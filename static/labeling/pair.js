// The answer to a pair: which sample is better and by how much, overall and by criterion. Grades range
// from -3 (first much better) through 0 (about the same) to 3 (second much better).

import { ScaleAnswer } from "./scales.js";

const MIDDLE = 4; // the digit of "about the same"
const MUCH = 3;

export class PairAnswer extends ScaleAnswer {
  stateFromAnswer({ grade, criteria }) {
    return this.lines.map(({ dataset: { criterion } }) =>
      (criterion ? criteria?.[0]?.[criterion] : grade) ?? null);
  }

  answer() {
    const [grade, ...grades] = this.values;
    const criteria = this.lines.slice(1).map(({ dataset }, at) => [dataset.criterion, grades[at]]);
    return { grade, ...(criteria.length && { criteria: [Object.fromEntries(criteria)] }) };
  }

  missingMessage() {
    if (this.values[0] === null) {
      return "Nothing is chosen yet. Press a number from 1 (first much better) to 7 (second much better), or choose “All bad”.";
    }
    const left = this.lines.flatMap((_, at) => (this.values[at] === null ? [this.name(at)] : []));
    return left.length ? `Still to compare: ${left.join(", ")}.` : "";
  }

  act(name) {
    return name === "tie" ? this.setAndAdvance(this.current, 0) : super.act(name);
  }

  // Left and right move the grade of the selected line; up and down select another line.
  arrow(key) {
    const at = this.current;
    const value = this.values[at];
    switch (key) {
      case "ArrowLeft": return this.setValue(at, Math.max(-MUCH, (value ?? 0) - 1));
      case "ArrowRight": return this.setValue(at, Math.min(MUCH, (value ?? 0) + 1));
      default: {
        const next = at + (key === "ArrowUp" ? -1 : +1);
        if (next in this.lines && this.isEnabled(next)) this.current = next;
        return `${this.name(this.current)}: ${this.valueText(this.current)}.`;
      }
    }
  }

  valueOfDigit(digit) {
    return digit - MIDDLE;
  }

  name(at) {
    return this.lines[at].dataset.criterion || "Overall";
  }

  valueText(at) {
    return this.inputOf(at, this.values[at])?.getAttribute("aria-label") ?? "no choice";
  }

  render() {
    super.render();
    const grade = this.values[0];
    for (const [at, card] of this.cards.entries()) {
      card.classList.toggle("placed", grade !== null && (at === 0 ? grade < 0 : grade > 0));
    }
  }
}
