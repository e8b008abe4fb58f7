// The search for flows, and their end.
import { ask, Gone, Refusal } from './ask.js';
import { confirm } from './confirm.js';
import { $, cells, el, problem, rows, say, write } from './dom.js';
import { parse, words } from './filter.js';
import { bytes, clock, count, duration, exact, when } from './format.js';

const PAGE = 50;

const section = $('#flows'), field = $('#filter'), more = $('.more', section), killAll = $('#kill-all');

// found is the last search: its parameters, the flows so far and how many there are.
let found = null, searching = 0;

export function start() {
  $('form', section).addEventListener('submit', (e) => {
    e.preventDefault();
    search();
  });
  field.addEventListener('input', () => { killAll.disabled = true; }); // it would not be what was found
  more.addEventListener('click', () => page(found.next));
  killAll.addEventListener('click', killFound);
}

// find fills the search and goes there.
export function find(filter) {
  field.value = words(filter);
  field.focus({ preventScroll: true });
  section.scrollIntoView({ block: 'start' });
  search();
}

function search() {
  let query;
  try { query = parse(field.value); } catch (e) {
    problem(section, e.message);
    return;
  }
  found = { query, flows: [], total: 0, next: '' };
  return page('');
}

// page asks for more of what was searched, unless there is a newer search meanwhile.
async function page(cursor) {
  const turn = ++searching, query = new URLSearchParams(found.query);
  query.set('limit', PAGE);
  if (cursor) query.set('cursor', cursor);
  try {
    const answer = await ask(`/v1/flows?${query}`);
    if (turn !== searching) return;
    const known = new Set(found.flows.map((f) => f.id));
    found.flows.push(...answer.flows.filter((f) => !known.has(f.id)));
    found.total = answer.total;
    found.next = answer.next;
    found.at = new Date();
    problem(section, '');
    show();
  } catch (e) {
    if (turn === searching) problem(section, why(e, 'Not searched'));
  }
}

function why(e, what) {
  if (e instanceof Gone) return `${what}: the gateway did not answer.`;
  if (!(e instanceof Refusal)) throw e;
  if (e.status === 401) return `${what}: the gateway asks for a token.`;
  if (e.status === 403) return `${what}: this token is read-only. (${e.message})`;
  return `${what}: ${e.message}`;
}

function show() {
  const { flows, total, query, next, at } = found;
  const shown = flows.length < total ? `, ${exact(flows.length)} of them shown` : '';
  write($('#found'), total ? `${exact(total)} ${total === 1 ? 'flow' : 'flows'} at ${clock(at)}${shown}.` : `No flow matches, at ${clock(at)}.`);
  $('.scroll', section).hidden = flows.length === 0;
  rows($('tbody', section), flows, (f) => f.id, row);
  more.hidden = next === '';
  const any = [...query.keys()].length > 0;
  killAll.disabled = !any || total === 0;
  write(killAll, any && total ? `Kill all ${count(total)}` : 'Kill all', any ? '' : 'It needs a filter');
}

function row(flow) {
  const { node, all } = cells('a', 'a', 'a', '', '', 'a', 'n', 'n', 'n', 'n', 'last');
  all.at(-1).append(el('button', { type: 'button', class: 'danger', 'aria-label': `Kill ${named(flow)}`, onclick: () => kill(flow) }, 'Kill'));
  return { node, update(f) {
    const texts = [f.internal, f.remote, f.external, f.protocol, f.state, f.rule,
      duration(f.idleSeconds), duration(f.expiresInSeconds), bytes(f.bytesOut), bytes(f.bytesIn)];
    texts.forEach((text, i) => write(all[i], text));
    all[0].title = `${f.direction}, flow ${f.id}, since ${when(f.created)}`;
    all[8].title = `${exact(f.bytesOut)} bytes in ${exact(f.packetsOut)} packets`;
    all[9].title = `${exact(f.bytesIn)} bytes in ${exact(f.packetsIn)} packets`;
  } };
}

const named = (f) => `${f.protocol} ${f.internal} to ${f.remote}`;

async function kill(flow) {
  const what = flow.state === 'ESTABLISHED' ? 'Both ends get a reset.' : 'It ends silently.';
  if (!await confirm('Kill this flow?', `${named(flow)}, rule ${flow.rule}. ${what}`)) return;
  const { id, protocol: proto, internal, external, remote } = flow; // all must hold: a page may be older than the gateway
  const killed = await end(new URLSearchParams({ id, proto, internal, external, remote }));
  if (killed === null) return;
  say(killed ? `Killed: ${named(flow)}.` : `${named(flow)} had ended already.`);
  const at = found.flows.findIndex((f) => f.id === flow.id);
  if (at < 0) return;
  found.flows.splice(at, 1);
  found.total--;
  show();
  const next = $('tbody', section).children[Math.min(at, found.flows.length - 1)];
  (next ? $('button', next) : field).focus(); // the row that had the focus is gone
}

async function killFound() {
  const { query, total } = found;
  const what = `${field.value.trim()}: all that match by then. Both ends of those that are ESTABLISHED get a reset.`;
  if (!await confirm(`Kill ${exact(total)} ${total === 1 ? 'flow' : 'flows'}?`, what, total)) return;
  const killed = await end(query);
  if (killed === null) return;
  say(`${exact(killed)} ${killed === 1 ? 'flow' : 'flows'} killed.`);
  field.focus();
  await search();
}

// end returns how many flows the gateway has ended, or null if it has not.
async function end(query) {
  try {
    const answer = await ask(`/v1/flows?${query}`, 'DELETE');
    problem(section, '');
    return answer.killed;
  } catch (e) {
    problem(section, why(e, 'Not killed'));
    return null;
  }
}
