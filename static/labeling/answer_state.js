// What all kinds of feedback share: the state of the unfinished answer, as plain JSON, and its undo history. Each
// step replaces the state by a new one, so that any number of steps can be undone.

export class AnswerState {
  constructor(task, onChange) {
    this.task = task;
    this.cards = [...task.querySelectorAll(".sample")];
    this.onChange = onChange;
    this.reset(this.stateFromAnswer({}));
  }

  // Set the starting point: an empty answer, or a stored one.
  reset(state) {
    this.state = state;
    this.initialState = JSON.stringify(state);
    this.history = [];
  }

  load(answer) {
    this.reset(this.stateFromAnswer(answer));
  }

  // Restore a draft. One saved by another version of this page may not fit and is ignored.
  restore(state) {
    if (this.isValidState(state)) this.state = state;
  }

  get isUntouched() {
    return JSON.stringify(this.state) === this.initialState;
  }

  get canUndo() {
    return this.history.length > 0;
  }

  pushState(state) {
    this.history.push(this.state);
    this.state = state;
  }

  undo() {
    if (!this.canUndo) return "Nothing to undo.";
    this.state = this.history.pop();
    return "Undone.";
  }

  act(name) {
    return name === "undo" ? this.undo() : "";
  }
}

export function joinNames(names) {
  const last = names.at(-1);
  return names.length > 1 ? `${names.slice(0, -1).join(", ")} and ${last}` : `${last}`;
}
