// The differences between two texts, word by word: E. W. Myers, "An O(ND) Difference Algorithm" (1986).

// In scripts written without spaces each letter is a word, and so is each sign. The white space after a word
// belongs to it but is not compared.
const UNSPACED = "\\p{sc=Han}\\p{sc=Hira}\\p{sc=Kana}\\p{sc=Thai}\\p{sc=Lao}\\p{sc=Khmr}\\p{sc=Mymr}";
const SPACED = `(?:(?![${UNSPACED}])[\\p{L}\\p{N}\\p{M}_'’])+`;
const WORD = new RegExp(`(?:[${UNSPACED}]\\p{M}*|${SPACED}|\\S)\\s*|^\\s+`, "gu");

// Beyond this number of changes, everything between the common start and end counts as changed.
const MAX_CHANGES = 2000;

// The changes from text `a` to text `b`: a list of { change, text } with change "same", "removed" (only in a)
// or "added" (only in b). The same and the added texts, joined, are exactly b.
export function wordDiff(a, b) {
  const before = a.match(WORD) ?? [];
  const after = b.match(WORD) ?? [];
  let [x, y] = [0, 0];
  const segments = [];
  for (const change of changes(before.map(trimmed), after.map(trimmed))) {
    if (!segments.length || (change === "same") !== segments.at(-1).same) {
      segments.push({ same: change === "same", removed: "", added: "" });
    }
    const segment = segments.at(-1);
    if (change !== "added") segment.removed += before[x++];
    if (change !== "removed") segment.added += after[y++];
  }
  return mergeShortMatches(segments).flatMap(parts);
}

function trimmed(word) {
  return word.trimEnd();
}

// Equal words shorter than the changes on both sides are coincidence: they are merged into one change.
function mergeShortMatches(segments) {
  const size = ({ removed, added }) => Math.max(removed.length, added.length);
  const kept = [];
  for (const [at, segment] of segments.entries()) {
    const [last, next] = [kept.at(-1), segments[at + 1]];
    const isChance = segment.same && last && next && size(segment) <= Math.min(size(last), size(next));
    if (last && (isChance || !(last.same || segment.same))) {
      last.removed += segment.removed;
      last.added += segment.added;
    } else {
      kept.push({ ...segment });
    }
  }
  return kept;
}

function parts({ same, removed, added }) {
  if (same) return [{ change: "same", text: added }];
  const end = added.trimEnd().length;
  return [
    { change: "removed", text: removed },
    { change: "added", text: added.slice(0, end) },
    { change: "same", text: added.slice(end) },
  ].filter(({ text }) => text);
}

// "same", "removed" or "added" for each step from one list of words to the other, as few changes as possible.
function changes(from, to) {
  const shorter = Math.min(from.length, to.length);
  let head = 0;
  while (head < shorter && from[head] === to[head]) head += 1;
  let tail = 0;
  while (tail < shorter - head && from.at(-1 - tail) === to.at(-1 - tail)) tail += 1;
  return [
    ...Array(head).fill("same"),
    ...shortestPath(from.slice(head, from.length - tail), to.slice(head, to.length - tail)),
    ...Array(tail).fill("same"),
  ];
}

// Myers' greedy algorithm. `reached` holds, for each diagonal x - y, the furthest x after so many changes.
function shortestPath(from, to) {
  const most = Math.min(from.length + to.length, MAX_CHANGES);
  const middle = most + 1;
  const reached = new Int32Array(2 * middle + 1);
  const history = [];
  for (let count = 0; count <= most; count += 1) {
    for (let diagonal = -count; diagonal <= count; diagonal += 2) {
      const [left, right] = [reached[middle + diagonal - 1], reached[middle + diagonal + 1]];
      const down = diagonal === -count || (diagonal !== count && left < right);
      let x = down ? right : left + 1;
      while (x < from.length && x - diagonal < to.length && from[x] === to[x - diagonal]) x += 1;
      reached[middle + diagonal] = x;
      if (x >= from.length && x - diagonal >= to.length) return tracePath(history, from.length, to.length);
    }
    history.push(reached.slice(middle - count, middle + count + 1));
  }
  return [...from.map(() => "removed"), ...to.map(() => "added")];
}

function tracePath(history, x, y) {
  const path = [];
  for (let count = history.length; count > 0; count -= 1) {
    const diagonal = x - y;
    const furthest = (other) => history[count - 1][other + count - 1];
    const down = diagonal === -count || (diagonal !== count && furthest(diagonal - 1) < furthest(diagonal + 1));
    const before = furthest(down ? diagonal + 1 : diagonal - 1);
    while (x > before + (down ? 0 : 1)) {
      path.push("same");
      x -= 1;
      y -= 1;
    }
    path.push(down ? "added" : "removed");
    if (down) y -= 1;
    else x -= 1;
  }
  while (x > 0) {
    path.push("same");
    x -= 1;
  }
  return path.reverse();
}
