// A ranking in the making: groups of samples, best first. A group of several is a tie.

const ORDINALS = ["1st", "2nd", "3rd", "4th", "5th", "6th", "7th", "8th", "9th"];

export class Ranking {
  constructor(task, changed) {
    this.cards = [...task.querySelectorAll(".sample")];
    this.order = task.querySelector(".order");
    this.tieButton = task.querySelector('[data-act="tie"]');
    this.changed = changed;
    this.groups = [];
    this.joining = false;
    this.past = [];
    this.listenForDrags(task);
  }

  // -- What the rest of the page asks -----------------------------------------------------------------

  get state() {
    return this.groups;
  }

  restore(groups) {
    const given = groups.flat();
    const known = given.every((sample) => Number.isInteger(sample) && sample in this.cards);
    if (known && new Set(given).size === given.length) this.groups = groups;
  }

  answer() {
    return { ranks: this.cards.map((_, sample) => this.groupOf(sample) + 1) };
  }

  missing() {
    const left = this.cards.map((_, sample) => sample).filter((sample) => this.groupOf(sample) < 0);
    if (left.length === 0) return "";
    if (left.length === this.cards.length) {
      return `Nothing is ranked yet. Press the numbers from best to worst, or B if all are bad.`;
    }
    const names = left.map((sample) => sample + 1);
    const last = names.pop();
    return names.length
      ? `Samples ${names.join(", ")} and ${last} are not ranked yet.`
      : `Sample ${last} is not ranked yet.`;
  }

  // Each step returns what to tell somebody who cannot see it.

  digit(number) {
    return number <= this.cards.length ? this.act("place", number - 1) : "";
  }

  act(name, sample) {
    switch (name) {
      case "place": return this.groupOf(sample) < 0 ? this.place(sample) : this.remove(sample);
      case "better": return this.shift(sample, -1);
      case "worse": return this.shift(sample, +1);
      case "tie": return this.toggleTie();
      case "undo": return this.undo();
      default: return "";
    }
  }

  place(sample) {
    this.remember();
    if (this.joining && this.groups.length) this.groups.at(-1).push(sample);
    else this.groups.push([sample]);
    this.joining = false;
    return this.tell(sample);
  }

  remove(sample) {
    this.remember();
    this.take(sample);
    return `Sample ${sample + 1} is not ranked.`;
  }

  shift(sample, direction) {
    const at = this.groupOf(sample);
    if (at < 0) return this.place(sample);
    const tied = this.groups[at].length > 1;
    const target = at + direction;
    if (!tied && (target < 0 || target >= this.groups.length)) {
      return `Sample ${sample + 1} is already ${direction < 0 ? "best" : "last"}.`;
    }
    this.remember();
    if (tied) {
      this.groups[at] = this.groups[at].filter((other) => other !== sample);
      this.groups.splice(direction < 0 ? at : at + 1, 0, [sample]);
    } else {
      this.groups[target].push(sample);
      this.groups.splice(at, 1);
    }
    return this.tell(sample);
  }

  toggleTie() {
    if (!this.groups.length || this.groups.flat().length === this.cards.length) {
      return this.groups.length ? "All are ranked. Use the up and down arrows to tie two." : "Rank one first.";
    }
    this.joining = !this.joining;
    const last = this.groups.at(-1).map((sample) => sample + 1).join(" and ");
    return this.joining ? `The next one ties with ${last}.` : "No tie.";
  }

  undo() {
    if (this.joining) {
      this.joining = false;
      return "No tie.";
    }
    if (!this.past.length) return "Nothing to undo.";
    this.groups = this.past.pop();
    return this.groups.length ? `Undone. ${this.groups.flat().length} ranked.` : "Undone. Nothing is ranked.";
  }

  // -- State ------------------------------------------------------------------------------------------

  groupOf(sample) {
    return this.groups.findIndex((group) => group.includes(sample));
  }

  standing(sample) {
    const at = this.groupOf(sample);
    return at < 0 ? "not ranked" : `${this.groups[at].length > 1 ? "tied " : ""}${ORDINALS[at]}`;
  }

  tell(sample) {
    const left = this.cards.length - this.groups.flat().length;
    return `Sample ${sample + 1}: ${this.standing(sample)}. ${left ? `${left} left.` : "Enter submits."}`;
  }

  remember() {
    this.past.push(this.groups.map((group) => [...group]));
  }

  take(sample) {
    this.groups = this.groups
      .map((group) => group.filter((other) => other !== sample))
      .filter((group) => group.length);
  }

  // Drop a sample into the gap before group `before`, or onto group `onto`.
  drop(sample, { before, onto }) {
    this.remember();
    const neighbour = onto === undefined ? undefined : this.groups[onto].find((other) => other !== sample);
    // A mark keeps the place while the sample's own group may vanish.
    const mark = [];
    if (onto === undefined) this.groups.splice(before, 0, mark);
    this.groups = this.groups
      .map((group) => (group === mark ? mark : group.filter((other) => other !== sample)))
      .filter((group) => group === mark || group.length);
    if (onto === undefined) mark.push(sample);
    else if (neighbour === undefined) this.groups.splice(onto, 0, [sample]);
    else this.groups[this.groupOf(neighbour)].push(sample);
    this.joining = false;
    return this.tell(sample);
  }

  // -- View -------------------------------------------------------------------------------------------

  render() {
    for (const [sample, card] of this.cards.entries()) {
      const placed = this.groupOf(sample) >= 0;
      const standing = this.standing(sample);
      card.classList.toggle("placed", placed);
      card.setAttribute("aria-label", `Sample ${sample + 1}, ${standing}`);
      card.querySelector(".standing").textContent = placed ? standing : "";
      card.querySelector(".place span").textContent = placed ? "Take back" : "Rank next";
    }
    this.tieButton.setAttribute("aria-pressed", String(this.joining));
    this.order.classList.toggle("joining", this.joining);
    const list = this.order.querySelector("ol");
    list.replaceChildren(...this.groups.flatMap((group, at) => [gap(at), chips(group, at)]));
    list.append(gap(this.groups.length));
    for (let left = this.cards.length - this.groups.flat().length; left > 0; left -= 1) {
      list.append(element("li", "empty"));
    }
  }

  // Dragging is a convenience: digits, buttons and arrow keys do all of it.
  listenForDrags(task) {
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
      const told = this.drop(dragged, where);
      this.order.classList.remove("dragging");
      dragged = null;
      this.changed(told);
    });
  }
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
  for (const sample of group) {
    const chip = element("span", "chip", String(sample + 1));
    chip.draggable = true;
    chip.dataset.sample = sample;
    made.append(chip);
  }
  return made;
}
