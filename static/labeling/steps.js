// What all kinds of feedback share: the state of an answer in the making, as plain JSON, and the steps that
// led to it. Each step puts a new state in place of the old one, so that any number can be taken back.

export class Steps {
  constructor(task, changed) {
    this.task = task;
    this.cards = [...task.querySelectorAll(".sample")];
    this.changed = changed;
    this.begin(this.stateOf({}));
  }

  // Where a person begins: with nothing, or with a stored answer.
  begin(state) {
    this.state = state;
    this.beginning = JSON.stringify(state);
    this.past = [];
  }

  load(answer) {
    this.begin(this.stateOf(answer));
  }

  // A draft: somebody else's work of another version of this page is left alone.
  restore(state) {
    if (this.fits(state)) this.state = state;
  }

  get untouched() {
    return JSON.stringify(this.state) === this.beginning;
  }

  get canUndo() {
    return this.past.length > 0;
  }

  step(state) {
    this.past.push(this.state);
    this.state = state;
  }

  undo() {
    if (!this.canUndo) return "Nothing to undo.";
    this.state = this.past.pop();
    return "Undone.";
  }

  act(name) {
    return name === "undo" ? this.undo() : "";
  }
}

export function listed(names) {
  const last = names.at(-1);
  return names.length > 1 ? `${names.slice(0, -1).join(", ")} and ${last}` : `${last}`;
}
