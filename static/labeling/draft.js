// Drafts: an unfinished answer is saved in this browser at once and on the server a moment later.

import { LOST, NO_CONNECTION, SIGNED_OUT, post } from "./requests.js";

const PREFIX = "hone:draft:";
const SAVE_DELAY_MS = 700; // wait for a pause between changes
const RETRY_DELAY_MS = 5000;
const SUBMIT_DELAY_MS = 10_000;
const MAX_AGE_MS = 7 * 24 * 3600 * 1000;

export class Draft {
  // `onResult` gets { status, text } of each save on the server. Without a `url` only the browser saves.
  constructor(name, url, onResult) {
    this.key = PREFIX + name;
    this.url = url;
    this.onResult = onResult;
    this.pending = null; // not yet saved on the server
    this.sending = false;
  }

  // The newer of the server's and the browser's draft, or null.
  load(served) {
    const own = readStored(this.key);
    if (!own || (served && served.saved >= own.saved)) return served;
    if (this.url) this.send(own);
    return own;
  }

  save(content) {
    const draft = { ...content, saved: Date.now() };
    try {
      localStorage.setItem(this.key, JSON.stringify(draft));
    } catch {
      // Storage is full or blocked: only the server saves.
    }
    if (!this.url) return;
    this.pending = draft;
    this.schedule(SAVE_DELAY_MS);
  }

  // Save now: the page is about to be hidden.
  flush() {
    if (this.pending) this.send(this.pending, { keepalive: true });
  }

  discard() {
    this.close();
    try {
      localStorage.removeItem(this.key);
    } catch {
      // Storage is blocked: nothing to remove.
    }
  }

  close() {
    clearTimeout(this.timer);
    this.pending = null;
    this.closed = true;
  }

  // Wait while the answer itself is being submitted.
  postpone() {
    if (this.pending) this.schedule(SUBMIT_DELAY_MS);
  }

  schedule(milliseconds) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.pending && this.send(this.pending), milliseconds);
  }

  // One request at a time, so that an older draft never arrives last.
  async send(draft, options) {
    this.pending = draft;
    if (this.sending || this.closed) return;
    this.sending = true;
    const answer = await post(this.url, { draft: JSON.stringify(draft) }, options);
    this.sending = false;
    if (this.closed) return;
    if (this.pending !== draft) this.schedule(SAVE_DELAY_MS);
    else if (answer.status === NO_CONNECTION || answer.status >= 500) this.schedule(RETRY_DELAY_MS);
    else this.pending = null;
    this.onResult(answer);
  }
}

// The text beside the task; "" where a notice says it.
export function statusText(status) {
  if (status === LOST) return "";
  if (status === 204) return "Saved";
  if (status === SIGNED_OUT) return "Signed out: saved in this browser";
  return status === NO_CONNECTION || status >= 500 ? "No connection: saved in this browser" : "Saved in this browser";
}

function readStored(key) {
  try {
    const draft = JSON.parse(localStorage.getItem(key));
    return draft && typeof draft === "object" ? draft : null;
  } catch {
    return null;
  }
}

// Remove drafts of tasks that were answered elsewhere.
export function deleteOldDrafts() {
  try {
    for (const key of Object.keys(localStorage)) {
      if (key.startsWith(PREFIX) && !(readStored(key)?.saved > Date.now() - MAX_AGE_MS)) localStorage.removeItem(key);
    }
  } catch {
    // Storage is blocked: there are no drafts.
  }
}
