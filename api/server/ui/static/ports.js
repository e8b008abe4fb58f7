// SNAT ports by backend, the fullest first.
import { $, brief, cells, el, mark, rows, write } from './dom.js';
import { count, exact, percent } from './format.js';
import { find } from './flows.js';
import { panel } from './poll.js';

const NEAR = 0.75, EXHAUSTED = 0.95;
const RECENT = 60_000; // ms for which a failure is news

const section = $('#ports');
const seen = new Map(); // key: { failed, at }: how many, and when there was one more

export function start() {
  const few = brief($('.more', section), 12);
  const show = (ports) => {
    const sorted = ports.map(judged).sort((a, b) => b.level - a.level || b.full - a.full || b.used - a.used);
    forget(sorted);
    $('.empty', section).hidden = sorted.length > 0;
    $('.scroll', section).hidden = sorted.length === 0;
    rows($('tbody', section), few(sorted, () => show(ports)), (p) => p.key, row);
    const first = sorted[0];
    write($('#now-ports'), first ? `${LEVELS[first.level].sign}${percent(first.used, first.allocated)}` : '–');
    write($('#now-backend'), first ? `${first.backend} ${first.protocol}` : '');
    mark($('#now-ports'), first?.level ? LEVELS[first.level].name : '');
  };
  panel(section, 5000, '/v1/ports?by=backend&held=false', (answer) => show(answer.ports));
}

const LEVELS = [
  { name: 'fine', sign: '', text: 'fine' },
  { name: 'near', sign: '▲ ', text: 'near exhaustion' },
  { name: 'exhausted', sign: '✕ ', text: 'exhausted' },
];

function judged(p) {
  const key = `${p.backend} ${p.protocol}`, full = p.allocated ? p.used / p.allocated : 0;
  const before = seen.get(key), now = Date.now();
  const at = before && p.failed > before.failed ? now : before?.at ?? 0;
  seen.set(key, { failed: p.failed, at });
  const failing = now - at < RECENT;
  return { ...p, key, full, level: full >= EXHAUSTED || failing ? 2 : full >= NEAR ? 1 : 0 };
}

function forget(current) {
  const keys = new Set(current.map((p) => p.key));
  for (const key of seen.keys()) if (!keys.has(key)) seen.delete(key);
}

function row(p) {
  const { node, all: [backend, protocol, state, used, n, failed] } = cells('', '', 'state', 'wide', 'n', 'n');
  const inner = el('div', { class: 'fill' }), share = el('span', { class: 'n percent' });
  used.append(el('div', { class: 'used' }, el('div', { class: 'gauge', 'aria-hidden': 'true' }, inner), share));
  backend.append(el('button', { type: 'button', class: 'link', 'aria-label': `${p.backend} ${p.protocol}: search its flows`,
    onclick: () => find({ proto: p.protocol, backend: p.backend }) }, p.backend));
  write(protocol, p.protocol);
  return { node, update(p) {
    mark(node, LEVELS[p.level].name);
    inner.style.width = `${100 * Math.min(1, p.full)}%`;
    write(share, percent(p.used, p.allocated));
    write(n, `${count(p.used)} of ${count(p.allocated)}`, `${exact(p.used)} of ${exact(p.allocated)}, ${exact(p.free)} free`);
    write(state, LEVELS[p.level].sign + LEVELS[p.level].text);
    write(failed, p.failed ? count(p.failed) : '·', `${exact(p.failed)} new flows got no port since the start`);
  } };
}
