// Backends of load-balancing rules, those that need attention first.
import { $, brief, cells, el, mark, rows, write } from './dom.js';
import { count, duration, exact, when } from './format.js';
import { find } from './flows.js';
import { panel } from './poll.js';

const section = $('#backends');

export function start() {
  const few = brief($('.more', section), 12);
  const show = (backends) => {
    const sorted = backends.map((b) => ({ ...b, ...health(b) })).sort((a, b) => b.level - a.level);
    const well = sorted.filter((b) => b.takesNewFlows).length;
    $('.empty', section).hidden = sorted.length > 0;
    $('.scroll', section).hidden = sorted.length === 0;
    write($('.summary', section), sorted.length ? `${well} of ${sorted.length} take new flows` : '');
    rows($('tbody', section), few(sorted, () => show(backends)), (b) => `${b.pool} ${b.probe} ${b.backend}`, row);
  };
  panel(section, 5000, '/v1/backends', (answer) => show(answer.backends));
}

function health(b) {
  const by = b.adminState && b.adminState !== 'None' ? `, by adminState ${b.adminState}` : '';
  if (b.draining) return { level: 1, text: `▲ draining, ${duration(Math.ceil(b.drainSeconds))} left` };
  if (b.left) return { level: 1, text: '▲ left the pool' };
  if (!b.known && !b.takesNewFlows) return { level: 1, text: '▲ not probed yet' };
  if (!b.takesNewFlows) return { level: 2, text: `✕ ${b.up ? 'takes no new flows' : 'down'}${by}` };
  return b.up ? { level: 0, text: `● up${by}` } : { level: 1, text: `▲ down, but takes flows${by}` };
}

function row(b) {
  const { node, all: [backend, pool, state, probe, result, since, flows] } = cells('', '', 'state', '', '', '', 'n');
  backend.append(el('button', { type: 'button', class: 'link', 'aria-label': `${b.backend}: search its flows`,
    onclick: () => find({ backend: b.backend }) }, b.backend));
  write(pool, b.pool);
  return { node, update(b) {
    mark(node, ['fine', 'near', 'exhausted'][b.level]);
    write(state, b.text);
    write(probe, b.probe || 'none');
    write(result, b.result ?? '', b.lastProbe ? `at ${when(b.lastProbe)}; ${exact(b.succeeded)} succeeded, ${exact(b.failed)} failed` : '');
    write(since, b.since ? when(b.since) : '');
    write(flows, count(b.newFlows), exact(b.newFlows));
  } };
}
