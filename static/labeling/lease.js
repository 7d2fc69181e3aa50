// The lease on a task: shows the time left and renews it while the page is in use.

import { activity } from "./activity.js";
import { post } from "./requests.js";

const URGENT_S = 120;
const TICK_MS = 1000;

export class Lease {
  // `form` has the line `.held` and the length of a lease; `onResult` gets the result of each renewal.
  constructor(form, onResult) {
    this.url = form.dataset.renewUrl;
    this.seconds = Number(form.dataset.leaseSeconds);
    this.line = form.querySelector(".held");
    this.text = this.line.querySelector(".lease");
    this.button = this.line.querySelector('[data-act="keep"]');
    this.onResult = onResult;
    this.renewing = false;
    this.restart();
    this.timer = setInterval(() => this.tick(), TICK_MS);
  }

  close() {
    clearInterval(this.timer);
  }

  restart() {
    this.since = performance.now();
    this.isUrgent = false;
    this.render();
  }

  get left() {
    return this.seconds - (performance.now() - this.since) / 1000;
  }

  // Renew once a third of the lease has passed and the page was used since.
  tick() {
    if (this.left < (2 / 3) * this.seconds && activity.usedSince(this.since)) this.renew();
    this.render();
  }

  async renew() {
    if (this.renewing) return;
    this.renewing = true;
    const answer = await post(this.url);
    this.renewing = false;
    if (answer.status === 204) this.restart();
    this.onResult(answer);
  }

  render() {
    const left = Math.max(0, Math.ceil(this.left));
    const urgent = left <= Math.min(URGENT_S, this.seconds / 3);
    this.line.classList.toggle("urgent", urgent);
    this.button.hidden = !urgent;
    this.text.textContent = left ? `Reserved: ${formatTime(left, urgent)}` : "Reservation expired: others may get this task";
    if (urgent && !this.isUrgent) this.onResult({ urgent: `Reserved: ${formatTime(left, urgent)}` });
    this.isUrgent = urgent;
  }
}

function formatTime(seconds, urgent) {
  if (!urgent) return `${Math.ceil(seconds / 60)} min`;
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}
