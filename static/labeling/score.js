// Scores: one row for each sample's overall score and for each of its criteria.

import { ScaleAnswer } from "./scales.js";

export class ScoreAnswer extends ScaleAnswer {
  stateFromAnswer({ scores, criteria }) {
    return this.lines.map((line) => {
      const { sample, criterion } = line.dataset;
      return (criterion ? criteria?.[sample]?.[criterion] : scores?.[sample]) ?? null;
    });
  }

  answer() {
    const scores = [];
    const criteria = this.cards.map(() => ({}));
    for (const [at, line] of this.lines.entries()) {
      const { sample, criterion } = line.dataset;
      if (criterion) criteria[sample][criterion] = this.values[at];
      else scores[sample] = this.values[at];
    }
    return { scores, criteria };
  }

  missingMessage() {
    const left = this.values.flatMap((value, at) => (value === null ? [at] : []));
    if (left.length === 0) return "";
    if (left.length === this.lines.length) {
      return "Nothing is scored yet. Press a number, or choose “All bad”.";
    }
    return `Still to score: ${left.map((at) => this.name(at).toLowerCase()).join("; ")}.`;
  }

  // Up and down select another row; left and right move between samples.
  arrow(key) {
    const step = { ArrowUp: -1, ArrowDown: +1 }[key];
    if (!step) return "";
    let at = this.current + step;
    while (at in this.lines && !this.isEnabled(at)) at += step;
    if (at in this.lines) this.current = at;
    return this.showCurrent(`${this.name(this.current)}: ${this.valueText(this.current)}.`);
  }

  // Digits score the focused sample.
  focusOn(sample) {
    if (Number(this.lines[this.current].dataset.sample) === sample) return;
    const own = this.lines.flatMap((line, at) => (Number(line.dataset.sample) === sample ? [at] : []));
    this.current = own.find((at) => this.values[at] === null) ?? own[0];
  }

  valueOfDigit(digit) {
    return digit;
  }

  name(at) {
    const { sample, criterion } = this.lines[at].dataset;
    return `Sample ${Number(sample) + 1}, ${criterion || "overall"}`;
  }

  valueText(at) {
    return this.values[at] ?? "no score";
  }

  render() {
    super.render();
    for (const [sample, card] of this.cards.entries()) {
      const own = this.lines.flatMap((line, at) => (Number(line.dataset.sample) === sample ? [at] : []));
      card.classList.toggle("placed", own.every((at) => this.values[at] !== null));
    }
    const done = this.values.filter((value) => value !== null).length;
    this.task.querySelector(".left span").textContent = `${done} of ${this.lines.length} scores given`;
  }
}
