// Rates, from counters that begin anew when the gateway does.

const KEPT = 11; // statuses: ten seconds
const GAP = 5; // seconds without a status after which a rate would be an average of the unseen

export class History {
  #kept = [];

  add(status) {
    const last = this.#kept.at(-1);
    const since = last && status.uptimeSeconds - last.uptimeSeconds;
    const goesOn = last && status.started === last.started && since > 0 && since < GAP;
    if (!goesOn) this.#kept = [];
    this.#kept.push(status);
    if (this.#kept.length > KEPT) this.#kept.shift();
  }

  // rate of a counter that get finds in a status, over the last ten seconds; null if unknown.
  rate(get, statuses = KEPT) {
    const of = this.#kept.slice(-statuses);
    if (of.length < 2) return null;
    const [first, last] = [of[0], of.at(-1)];
    return Math.max(0, get(last) - get(first)) / (last.uptimeSeconds - first.uptimeSeconds);
  }

  // now is the rate between the last two.
  now(get) { return this.rate(get, 2); }
}
