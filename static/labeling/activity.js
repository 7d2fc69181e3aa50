// Active time: with the page in sight, and used within the last minute.

const LASTS_MS = 60_000;
const SIGNS = ["keydown", "pointerdown", "pointermove", "wheel", "scroll", "input", "touchmove"];

class Activity {
  constructor() {
    this.lastUse = performance.now();
    this.counted = 0; // milliseconds, up to the last use
    this.inSight = !document.hidden;
    for (const sign of SIGNS) document.addEventListener(sign, () => this.use(), { passive: true, capture: true });
    document.addEventListener("visibilitychange", () => {
      this.counted = this.total;
      this.lastUse = performance.now();
      this.inSight = !document.hidden;
    });
  }

  use() {
    this.counted = this.total;
    this.lastUse = performance.now();
  }

  // Milliseconds of active time since the page was opened.
  get total() {
    return this.counted + (this.inSight ? Math.min(performance.now() - this.lastUse, LASTS_MS) : 0);
  }

  usedSince(moment) {
    return this.inSight && this.lastUse > moment;
  }
}

export const activity = new Activity();
