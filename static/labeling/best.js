// Picking the best sample. The others are not compared.

import { AnswerState } from "./answer_state.js";

export class BestAnswer extends AnswerState {
  stateFromAnswer({ best }) {
    return { picked: best ? best - 1 : null };
  }

  isValidState(state) {
    return state?.picked === null || state?.picked in this.cards;
  }

  answer() {
    return { best: this.state.picked + 1 };
  }

  missingMessage() {
    if (this.state.picked !== null) return "";
    return "Nothing is picked yet. Press the number of the best sample, or choose “All bad”.";
  }

  digit(number) {
    return number <= this.cards.length ? this.pick(number - 1) : "";
  }

  act(name, sample) {
    return name === "pick" ? this.pick(sample) : super.act(name);
  }

  pick(sample) {
    const wasPicked = this.state.picked === sample;
    this.pushState({ picked: wasPicked ? null : sample });
    return wasPicked ? `Sample ${sample + 1} is not picked.` : `Sample ${sample + 1} is the best. Enter submits.`;
  }

  render() {
    const { picked } = this.state;
    for (const [sample, card] of this.cards.entries()) {
      const best = sample === picked;
      card.classList.toggle("placed", best);
      card.querySelector(".status").textContent = best ? "Best" : "";
      card.querySelector(".pick").setAttribute("aria-pressed", String(best));
    }
    this.task.querySelector(".left").textContent =
      picked === null ? "Which is the best?" : `Sample ${picked + 1} is the best.`;
  }
}
