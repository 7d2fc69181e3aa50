// Reading aids: collapse a long prompt or the earlier turns of a conversation, show the Markdown source, highlight differences between samples.

import { wordDiff } from "./diff.js";
import { setPressed } from "./announce.js";

const MIN_FOLD_RATIO = 1.5; // a prompt this much taller than when collapsed gets a button

export class TextView {
  constructor(task) {
    this.task = task;
    this.prompt = task.querySelector(".prompt");
    this.dock = task.querySelector(".dock");
    this.promptText = task.querySelector("#prompt-text");
    this.cards = [...task.querySelectorAll(".sample")];
    this.reference = 0;
    this.showsDifferences = false;
    this.originals = new Map(); // original nodes of marked texts
    this.foldLongPrompt();
    this.showSource(isRemembered("source"));
    this.sizes = new ResizeObserver(() => this.measure());
    this.sizes.observe(this.prompt);
    this.sizes.observe(this.dock);
  }

  close() {
    this.sizes.disconnect();
  }

  act(name) {
    switch (name) {
      case "prompt": return this.togglePrompt();
      case "source": return this.toggleSource();
      case "changes": return this.toggleDifferences();
      default: return undefined;
    }
  }

  // Sample headers stick below the pinned prompt, sample footers above the dock.
  measure() {
    for (const [name, part] of [["--pinned", this.prompt], ["--docked", this.dock]]) {
      const height = getComputedStyle(part).position === "sticky" ? part.offsetHeight : 0;
      document.documentElement.style.setProperty(name, `${height}px`);
    }
  }

  // -- The prompt -------------------------------------------------------------------------------------

  get promptButton() {
    return this.task.querySelector('[data-act="prompt"]');
  }

  // Once a prompt was expanded, the next long prompts open expanded, too.
  foldLongPrompt() {
    const text = this.promptText;
    text.classList.add("folded");
    const ratio = text.querySelector(".turn") ? 1 : MIN_FOLD_RATIO; // of a conversation, whole turns are folded
    const isLong = text.scrollHeight > ratio * text.clientHeight;
    this.earlierTurns = isLong ? this.turnsBeforeTheLast() : [];
    this.promptButton.hidden = !isLong;
    this.showPrompt(!isLong || isRemembered("prompt"));
  }

  // Of a folded conversation, the turns before those that fit; the last one stays, however long it is.
  turnsBeforeTheLast() {
    const turns = [...this.promptText.querySelectorAll(".turn")];
    const earlier = [];
    while (turns.length > 1 && this.promptText.scrollHeight > this.promptText.clientHeight) {
      earlier.push(turns.shift());
      earlier.at(-1).hidden = true;
    }
    return earlier;
  }

  showPrompt(expanded) {
    const isLong = !this.promptButton.hidden;
    for (const turn of this.earlierTurns) turn.hidden = !expanded;
    this.promptText.classList.toggle("folded", !expanded);
    this.promptText.classList.toggle("clipped", !expanded && this.promptText.scrollHeight > this.promptText.clientHeight);
    this.prompt.classList.toggle("expanded", isLong && expanded);
    this.promptButton.setAttribute("aria-expanded", String(expanded));
    this.promptButton.querySelector("span").textContent = expanded ? "Show less" : this.hiddenPart();
    this.measure();
  }

  // The label of the button that shows what is folded.
  hiddenPart() {
    const turns = this.earlierTurns.filter((turn) => !turn.matches(".system")).length;
    const parts = [
      turns < this.earlierTurns.length ? "system message" : "",
      turns ? `${turns} earlier ${turns === 1 ? "turn" : "turns"}` : "",
    ].filter(Boolean);
    return parts.length ? `Show ${parts.join(" and ")}` : "Show all";
  }

  togglePrompt() {
    const name = this.promptText.querySelector(".turn") ? "conversation" : "prompt";
    if (this.promptButton.hidden) return `The whole ${name} is shown.`;
    const expanded = this.promptText.classList.contains("folded");
    remember("prompt", expanded);
    this.showPrompt(expanded);
    if (expanded) this.prompt.scrollIntoView({ block: "start" });
    return expanded ? `The whole ${name} is shown.` : `The ${name} is collapsed.`;
  }

  // -- Markdown source --------------------------------------------------------------------------------

  toggleSource() {
    if (!this.task.querySelector('[data-act="source"]')) return "";
    const shown = !this.task.classList.contains("as-written");
    remember("source", shown);
    this.showSource(shown);
    return shown ? "Markdown source is shown." : "Formatted text is shown.";
  }

  showSource(shown) {
    const button = this.task.querySelector('[data-act="source"]');
    if (!button) return;
    this.task.classList.toggle("as-written", shown);
    for (const source of this.task.querySelectorAll(".text + .source")) {
      source.hidden = !shown;
      source.previousElementSibling.hidden = shown;
    }
    setPressed(button, shown);
    if (this.showsDifferences) this.markDifferences();
  }

  // -- Differences ------------------------------------------------------------------------------------

  toggleDifferences() {
    const button = this.task.querySelector('[data-act="changes"]');
    if (!button) return "";
    this.showsDifferences = !this.showsDifferences;
    const focused = this.cards.indexOf(document.activeElement.closest(".sample"));
    if (focused >= 0) this.reference = focused;
    if (this.showsDifferences) this.markDifferences();
    else this.clearDifferences();
    setPressed(button, this.showsDifferences);
    return this.showsDifferences ? `Differences from ${this.name(this.reference)} are highlighted.` : "Differences are not highlighted.";
  }

  // The focused sample is the reference for the others.
  focusOn(sample) {
    if (sample === this.reference) return;
    this.reference = sample;
    if (this.showsDifferences) this.markDifferences();
  }

  name(sample) {
    return this.cards[sample].getAttribute("aria-label").split(",")[0].toLowerCase();
  }

  textOf(card) {
    return card.querySelector(":scope > .text:not([hidden]), :scope > .source:not([hidden])");
  }

  // In a pair, each text marks what the other lacks; of more samples, all are compared with the reference.
  markDifferences() {
    this.clearDifferences();
    const texts = this.cards.map((card) => this.textOf(card));
    const plain = texts.map((text) => text.textContent);
    const isPair = texts.length === 2;
    for (const [at, text] of texts.entries()) {
      const label = this.cards[at].querySelector(".compared");
      if (at === this.reference && !isPair) {
        label.textContent = "others are compared with this one";
        continue;
      }
      const other = isPair ? 1 - at : this.reference;
      this.originals.set(text, [...text.cloneNode(true).childNodes]);
      const marked = markAdded(text, wordDiff(plain[other], plain[at]), at === this.reference ? "del" : "ins");
      label.textContent = marked ? "" : "identical words";
    }
  }

  clearDifferences() {
    for (const [text, nodes] of this.originals) text.replaceChildren(...nodes);
    this.originals.clear();
    for (const card of this.cards) card.querySelector(".compared").textContent = "";
  }
}

// Wrap the added parts in elements, across any markup in the text. Returns their number.
function markAdded(text, difference, tag) {
  const walker = document.createTreeWalker(text, NodeFilter.SHOW_TEXT);
  const nodes = [];
  while (walker.nextNode()) nodes.push(walker.currentNode);
  let marked = 0;
  let [at, offset] = [0, 0];
  for (const { change, text: words } of difference) {
    if (change === "removed") continue;
    let left = words.length;
    while (left > 0) {
      const node = nodes[at];
      const length = Math.min(left, node.length - offset);
      left -= length;
      if (change === "added" && length > 0) {
        const rest = node.splitText(offset);
        nodes[at] = rest.splitText(length);
        offset = 0;
        if (rest.data.trim()) {
          const mark = document.createElement(tag);
          rest.replaceWith(mark);
          mark.append(rest);
          marked += 1;
        }
      } else {
        offset += length;
      }
      if (offset >= nodes[at].length) [at, offset] = [at + 1, 0];
    }
  }
  return marked;
}

// Kept from task to task while the tab is open.
function remember(name, value) {
  try {
    sessionStorage.setItem(`hone:reading:${name}`, value ? "yes" : "");
  } catch {
    // Storage is blocked.
  }
}

function isRemembered(name) {
  try {
    return Boolean(sessionStorage.getItem(`hone:reading:${name}`));
  } catch {
    return false;
  }
}
