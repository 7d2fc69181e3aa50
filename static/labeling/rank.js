// A ranking: groups of samples, best first. A group of several samples is a tie. It starts empty, so that an
// order nobody chose cannot be submitted.

import { AnswerState, joinNames } from "./answer_state.js";

const ORDINALS = ["1st", "2nd", "3rd", "4th", "5th", "6th", "7th", "8th", "9th"];

export class RankAnswer extends AnswerState {
  constructor(task, onChange) {
    super(task, onChange);
    this.order = task.querySelector(".order");
    for (const card of this.cards) {
      const number = card.querySelector(".number");
      number.draggable = true;
      number.title = "Drag into the ranking below";
    }
    this.listenForClicks();
    this.listenForDrags();
  }

  get groups() {
    return this.state.groups;
  }

  get joining() {
    return this.state.joining;
  }

  // -- Interface used by Task ---------------------------------------------------------------------------

  stateFromAnswer({ ranks = [] }) {
    const groups = [];
    for (const [sample, rank] of ranks.entries()) (groups[rank - 1] ??= []).push(sample);
    return { groups: groups.filter(Boolean), joining: false };
  }

  isValidState(state) {
    const given = state?.groups?.flat();
    return Boolean(given?.every((sample) => sample in this.cards)) && new Set(given).size === given.length;
  }

  answer() {
    return { ranks: this.cards.map((_, sample) => this.groupIndexOf(sample) + 1) };
  }

  missingMessage() {
    const left = this.cards.flatMap((_, sample) => (this.groupIndexOf(sample) < 0 ? [sample + 1] : []));
    if (left.length === 0) return "";
    if (left.length === this.cards.length) {
      return "Nothing is ranked yet. Press the numbers from best to worst, or choose “All bad”.";
    }
    return left.length > 1 ? `Samples ${joinNames(left)} are not ranked yet.` : `Sample ${left} is not ranked yet.`;
  }

  // Each step returns a message for screen readers.

  digit(number) {
    return number <= this.cards.length ? this.act("place", number - 1) : "";
  }

  act(name, sample) {
    switch (name) {
      case "place": return this.groupIndexOf(sample) < 0 ? this.place(sample) : this.remove(sample);
      case "better": return this.move(sample, -1);
      case "worse": return this.move(sample, +1);
      case "tie": return this.toggleTie();
      default: return super.act(name);
    }
  }

  // On a focused sample, up and down move it half a rank.
  arrow(key, sample) {
    const direction = { ArrowUp: -1, ArrowDown: +1 }[key];
    return direction && sample !== undefined ? this.move(sample, direction) : "";
  }

  // -- Steps ------------------------------------------------------------------------------------------------

  setGroups(groups) {
    this.pushState({ groups, joining: false });
  }

  place(sample) {
    const { groups } = this;
    const joins = this.joining && groups.length;
    this.setGroups(joins ? [...groups.slice(0, -1), [...groups.at(-1), sample]] : [...groups, [sample]]);
    return this.describe(sample);
  }

  remove(sample) {
    this.setGroups(without(this.groups, sample));
    return `Sample ${sample + 1} is not ranked.`;
  }

  move(sample, direction) {
    const at = this.groupIndexOf(sample);
    if (at < 0) return this.place(sample);
    const group = this.groups[at];
    const target = this.groups[at + direction];
    if (group.length > 1) {
      const rest = group.filter((other) => other !== sample);
      this.setGroups(this.groups.toSpliced(at, 1, ...(direction < 0 ? [[sample], rest] : [rest, [sample]])));
    } else if (target) {
      this.setGroups(without(this.groups.with(at + direction, [...target, sample]), sample, { but: at + direction }));
    } else {
      return `Sample ${sample + 1} is already ${direction < 0 ? "first" : "last"}.`;
    }
    return this.describe(sample);
  }

  // Drop a sample into the gap before group `before`, or onto group `onto`.
  drop(sample, { before, onto }) {
    const groups =
      onto === undefined
        ? this.groups.toSpliced(before, 0, [sample])
        : this.groups.with(onto, [...this.groups[onto].filter((other) => other !== sample), sample]);
    this.setGroups(without(groups, sample, { but: onto ?? before }));
    return this.describe(sample);
  }

  toggleTie() {
    if (!this.groups.length) return "Rank a sample first.";
    if (this.groups.flat().length === this.cards.length) {
      return "All samples are ranked. Use the up and down arrows to make a tie.";
    }
    this.pushState({ groups: this.groups, joining: !this.joining });
    const last = joinNames(this.groups.at(-1).map((sample) => sample + 1));
    return this.joining ? `The next sample ties with ${last}.` : "No tie.";
  }

  undo() {
    const message = super.undo();
    const ranked = this.groups.flat().length;
    return `${message} ${ranked ? `${ranked} ranked.` : "Nothing is ranked."}`;
  }

  // -- State ------------------------------------------------------------------------------------------

  groupIndexOf(sample) {
    return this.groups.findIndex((group) => group.includes(sample));
  }

  rankText(sample) {
    const at = this.groupIndexOf(sample);
    return at < 0 ? "not ranked" : `${this.groups[at].length > 1 ? "tied " : ""}${ORDINALS[at]}`;
  }

  describe(sample) {
    const left = this.cards.length - this.groups.flat().length;
    return `Sample ${sample + 1}: ${this.rankText(sample)}. ${left ? `${left} left.` : "Enter submits."}`;
  }

  // -- View -------------------------------------------------------------------------------------------

  render() {
    for (const [sample, card] of this.cards.entries()) {
      const placed = this.groupIndexOf(sample) >= 0;
      const rank = this.rankText(sample);
      card.classList.toggle("placed", placed);
      card.setAttribute("aria-label", `Sample ${sample + 1}, ${rank}`);
      card.querySelector(".status").textContent = placed ? rank : "";
      card.querySelector(".place span").textContent = placed ? "Remove" : "Rank next";
    }
    this.task.querySelector('[data-act="tie"]').setAttribute("aria-pressed", String(this.joining));
    this.order.classList.toggle("joining", this.joining);
    const list = this.order.querySelector("ol");
    list.replaceChildren(...this.groups.flatMap((group, at) => [gap(at), chips(group, at)]));
    list.append(gap(this.groups.length));
    for (const sample of this.cards.keys()) {
      if (this.groupIndexOf(sample) >= 0) continue;
      const place = element("li", "empty");
      place.append(chip(sample, "unranked"));
      list.append(place);
    }
  }

  // Mouse only; digits, buttons and arrow keys do the same.
  listenForClicks() {
    this.order.addEventListener("click", (event) => {
      const clicked = event.target.closest("[data-sample]");
      if (clicked) this.onChange(this.act("place", Number(clicked.dataset.sample)));
    });
  }

  listenForDrags() {
    const { task } = this;
    let dragged = null;
    const targetOf = (event) => event.target.closest?.(".gap, .group, .empty");
    const mark = (target) => {
      for (const other of this.order.querySelectorAll(".over")) other.classList.remove("over");
      target?.classList.add("over");
    };
    task.addEventListener("dragstart", (event) => {
      const handle = event.target.closest?.("[draggable]");
      const holder = handle?.closest("[data-sample]");
      if (!holder) return;
      dragged = Number(holder.dataset.sample);
      event.dataTransfer.effectAllowed = "move";
      event.dataTransfer.setData("text/plain", `Sample ${dragged + 1}`);
      this.order.classList.add("dragging");
    });
    task.addEventListener("dragend", () => {
      dragged = null;
      mark(null);
      this.order.classList.remove("dragging");
    });
    this.order.addEventListener("dragover", (event) => {
      if (dragged === null) return;
      event.preventDefault();
      mark(targetOf(event));
    });
    this.order.addEventListener("drop", (event) => {
      if (dragged === null) return;
      event.preventDefault();
      const target = targetOf(event);
      const at = Number(target?.dataset.at ?? this.groups.length);
      const where = target?.classList.contains("group") ? { onto: at } : { before: at };
      const message = this.drop(dragged, where);
      this.order.classList.remove("dragging");
      dragged = null;
      this.onChange(message);
    });
  }
}

// The groups without a sample, except in group `but`; groups left empty are dropped.
function without(groups, sample, { but } = {}) {
  return groups
    .map((group, at) => (at === but ? group : group.filter((other) => other !== sample)))
    .filter((group) => group.length);
}

function element(tag, name, text = "") {
  const made = document.createElement(tag);
  made.className = name;
  made.textContent = text;
  return made;
}

function gap(at) {
  const made = element("li", "gap");
  made.dataset.at = at;
  return made;
}

function chips(group, at) {
  const made = element("li", "group");
  made.dataset.at = at;
  made.append(...group.map((sample) => chip(sample, "chip")));
  return made;
}

function chip(sample, name) {
  const made = element("span", name, String(sample + 1));
  made.draggable = true;
  made.dataset.sample = sample;
  return made;
}
