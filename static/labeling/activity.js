// Active time: the page is visible and was used within the last minute.

const IDLE_AFTER_MS = 60_000;
const EVENTS = ["keydown", "pointerdown", "pointermove", "wheel", "scroll", "input", "touchmove"];

class Activity {
  constructor() {
    this.lastUse = performance.now();
    this.accumulated = 0; // milliseconds up to the last use
    this.isVisible = !document.hidden;
    for (const name of EVENTS) document.addEventListener(name, () => this.recordUse(), { passive: true, capture: true });
    document.addEventListener("visibilitychange", () => {
      this.accumulated = this.total;
      this.lastUse = performance.now();
      this.isVisible = !document.hidden;
    });
  }

  recordUse() {
    this.accumulated = this.total;
    this.lastUse = performance.now();
  }

  // Milliseconds of active time since the page was opened.
  get total() {
    return this.accumulated + (this.isVisible ? Math.min(performance.now() - this.lastUse, IDLE_AFTER_MS) : 0);
  }

  usedSince(moment) {
    return this.isVisible && this.lastUse > moment;
  }
}

export const activity = new Activity();
