// Asking again and again, as long as somebody looks.
import { asked, ask, needsToken, Gone, Refusal } from './ask.js';
import { problem } from './dom.js';

const changed = new EventTarget();
let paused = false;

export const awake = () => !document.hidden && !paused && !needsToken();

export function pause(on) {
  paused = on;
  changed.dispatchEvent(new Event('change'));
}

// onChange calls f when awake may say something else.
export function onChange(f) { changed.addEventListener('change', f); }

const tell = () => changed.dispatchEvent(new Event('change'));
document.addEventListener('visibilitychange', tell);
asked.addEventListener('unauthorized', tell);
asked.addEventListener('authorized', tell);

// every does work at once and then each ms, one turn after another. It returns how
// to have the next turn now.
export function every(ms, work) {
  let timer = 0, busy = false;
  async function turn() {
    clearTimeout(timer);
    if (busy || !awake()) return;
    busy = true;
    const began = performance.now();
    try { await work(); } catch (e) { console.error(e); }
    busy = false;
    timer = setTimeout(turn, Math.max(ms / 4, ms - (performance.now() - began)));
  }
  onChange(turn);
  turn();
  return turn;
}

// panel keeps a section up to date. A refusal is shown in it; that the gateway is gone
// is shown by the banner, once.
export function panel(section, ms, path, show) {
  every(ms, async () => {
    try {
      show(await ask(path));
      problem(section, '');
    } catch (e) {
      if (e instanceof Refusal) problem(section, e.status === 401 ? '' : e.message);
      else if (!(e instanceof Gone)) throw e;
    }
  });
}
