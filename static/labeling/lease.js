// How long the task is held, shown calmly, and renewed while the page is in use.

import { activity } from "./activity.js";
import { post } from "./server.js";

const URGENT_S = 120;
const TICK_MS = 1000;

export class Lease {
  // `task` has the line `.held` and says how long a lease is; `told` hears how a renewal went.
  constructor(task, told) {
    this.url = task.dataset.renewUrl;
    this.seconds = Number(task.dataset.leaseSeconds);
    this.line = task.querySelector(".held");
    this.text = this.line.querySelector(".lease");
    this.button = this.line.querySelector('[data-act="keep"]');
    this.told = told;
    this.asking = false;
    this.renewed();
    this.timer = setInterval(() => this.tick(), TICK_MS);
  }

  close() {
    clearInterval(this.timer);
  }

  renewed() {
    this.since = performance.now();
    this.isUrgent = false;
    this.render();
  }

  get left() {
    return this.seconds - (performance.now() - this.since) / 1000;
  }

  // A third of the lease is gone, and somebody is at work.
  tick() {
    if (this.left < (2 / 3) * this.seconds && activity.usedSince(this.since)) this.renew();
    this.render();
  }

  async renew() {
    if (this.asking) return;
    this.asking = true;
    const answer = await post(this.url);
    this.asking = false;
    if (answer.status === 204) this.renewed();
    this.told(answer);
  }

  render() {
    const left = Math.max(0, Math.ceil(this.left));
    const urgent = left <= Math.min(URGENT_S, this.seconds / 3);
    this.line.classList.toggle("urgent", urgent);
    this.button.hidden = !urgent;
    this.text.textContent = left ? `Reserved for ${spoken(left, urgent)}` : "Reservation expired: others may get this task";
    if (urgent && !this.isUrgent) this.told({ urgent: `Reserved for ${spoken(left, urgent)}` });
    this.isUrgent = urgent;
  }
}

function spoken(seconds, urgent) {
  if (!urgent) return `${Math.ceil(seconds / 60)} min`;
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}
