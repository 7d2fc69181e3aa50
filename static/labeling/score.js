// Scores in the making: one line for each sample's overall score and for each of its criteria.

export class Scoring {
  constructor(task, changed) {
    this.cards = [...task.querySelectorAll(".sample")];
    this.lines = [...task.querySelectorAll(".scale")];
    this.counter = task.querySelector(".left span");
    this.current = 0;
    this.past = [];
    this.values = this.lines.map(() => null);
    for (const [at, line] of this.lines.entries()) {
      line.addEventListener("change", (event) => changed(this.set(at, Number(event.target.value))));
      line.addEventListener("focusin", () => {
        this.current = at;
        this.render();
      });
    }
  }

  // -- What the rest of the page asks -----------------------------------------------------------------

  get state() {
    return this.values;
  }

  restore(values) {
    if (values.length !== this.lines.length) return;
    this.values = values.map((value, at) => (this.inputOf(at, value) ? value : null));
    this.point();
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

  missing() {
    const left = this.lines.filter((_, at) => this.values[at] === null);
    if (left.length === 0) return "";
    if (left.length === this.lines.length) return "Nothing is scored yet. Press a number, or B if all are bad.";
    return `Still to score: ${left.map((line) => this.name(line)).join("; ")}.`;
  }

  digit(number) {
    return this.inputOf(this.current, number) ? this.set(this.current, number) : "";
  }

  act(name) {
    return name === "undo" ? this.undo() : "";
  }

  // -- State ------------------------------------------------------------------------------------------

  set(at, value) {
    this.past.push([at, this.values[at]]);
    this.values[at] = value;
    const next = this.values.indexOf(null, at);
    this.current = next >= 0 ? next : Math.max(at, this.values.indexOf(null));
    const left = this.values.filter((other) => other === null).length;
    return `${this.name(this.lines[at])}: ${value}. ${left ? `Next: ${this.name(this.lines[this.current])}.` : "Enter submits."}`;
  }

  undo() {
    if (!this.past.length) return "Nothing to undo.";
    const [at, value] = this.past.pop();
    this.values[at] = value;
    this.current = at;
    return `Undone. ${this.name(this.lines[at])}: ${value ?? "no score"}.`;
  }

  name(line) {
    return `sample ${Number(line.dataset.sample) + 1}, ${line.dataset.criterion || "overall"}`;
  }

  inputOf(at, value) {
    return [...this.lines[at].querySelectorAll("input")].find((input) => Number(input.value) === value);
  }

  // The mark goes to the first line without a score.
  point() {
    this.current = Math.max(0, this.values.indexOf(null));
  }

  // The card a person moved to is where digits go next.
  focusOn(sample) {
    if (Number(this.lines[this.current].dataset.sample) === sample) return;
    this.current = this.lines.findIndex((line) => Number(line.dataset.sample) === sample);
  }

  // -- View -------------------------------------------------------------------------------------------

  render() {
    for (const [at, line] of this.lines.entries()) {
      line.classList.toggle("current", at === this.current);
      for (const input of line.querySelectorAll("input")) {
        input.checked = Number(input.value) === this.values[at];
      }
    }
    for (const [sample, card] of this.cards.entries()) {
      const own = this.lines.flatMap((line, at) => (Number(line.dataset.sample) === sample ? [at] : []));
      card.classList.toggle("placed", own.every((at) => this.values[at] !== null));
    }
    const done = this.values.filter((value) => value !== null).length;
    this.counter.textContent = `${done} of ${this.lines.length} scores given`;
  }
}
