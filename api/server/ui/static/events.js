// What has happened: first the last hundred, then what comes, as a stream.
import { ask, open, Gone, Refusal } from './ask.js';
import { $, el, problem, rows, write } from './dom.js';
import { when } from './format.js';
import { awake, onChange } from './poll.js';

const KEPT = 100;
const PACE = 500; // ms between two looks of the list, however much comes
const RETRY = 3000; // ms

const RARE = ['snat.exhausted', 'backend.up', 'backend.down', 'config.reloaded', 'config.rejected'];
const KINDS = { all: [], rare: RARE, ends: [...RARE, 'flow.closed'] };
const SIGNS = {
  'snat.exhausted': ['✕', 'exhausted'], 'backend.down': ['✕', 'exhausted'], 'config.rejected': ['✕', 'exhausted'],
  'backend.up': ['●', 'good'], 'config.reloaded': ['●', 'good'],
};

const section = $('#events'), list = $('ol', section), kind = $('#events-kind');
let kept = [], missed = 0, timer = 0, stop = null;

export function start() {
  kind.addEventListener('change', () => {
    stop?.abort();
    [kept, missed] = [[], 0];
    show();
    follow();
  });
  onChange(follow);
  follow();
}

// follow begins, or ends, as somebody looks or does not.
async function follow() {
  if (!awake()) {
    stop?.abort();
    return;
  }
  if (stop && !stop.signal.aborted) return;
  const mine = stop = new AbortController();
  while (!mine.signal.aborted) {
    await once(mine.signal);
    if (!mine.signal.aborted) await new Promise((done) => setTimeout(done, RETRY));
    if (!awake()) mine.abort();
  }
}

function query(more) {
  const q = new URLSearchParams(more);
  for (const type of KINDS[kind.value]) q.append('type', type);
  return q;
}

// once reads a stream to its end. It is opened before the last events are asked for, so
// that none falls between; those that come by both ways are taken once.
async function once(outer) {
  const mine = new AbortController(), signal = AbortSignal.any([outer, mine.signal]);
  try {
    const stream = await open(`/v1/events?${query()}`, { headers: { Accept: 'text/event-stream' }, signal });
    const { events } = await ask(`/v1/events?${query({ limit: KEPT })}`);
    if (signal.aborted) return;
    problem(section, '');
    for (const e of events) take(e);
    soon();
    await read(stream.body.pipeThrough(new TextDecoderStream()).getReader());
  } catch (e) {
    if (e instanceof Refusal) problem(section, e.status === 401 ? '' : e.message);
    else if (!(e instanceof Gone || e instanceof TypeError || e.name === 'AbortError')) throw e;
  } finally {
    mine.abort(); // of a stream whose list did not come
  }
}

// read takes apart a text/event-stream. Only what we are sent is understood.
async function read(reader) {
  let text = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const messages = (text + value.replaceAll('\r', '')).split('\n\n');
    text = messages.pop();
    messages.forEach(message);
  }
}

function message(text) {
  const of = (name) => text.split('\n').filter((l) => l.startsWith(name + ':')).map((l) => l.slice(name.length + 1).trimStart()).join('\n');
  if (!of('data')) return; // a comment that keeps the connection
  const said = JSON.parse(of('data'));
  if (of('event') === 'missed') missed += said.missed;
  else take(said);
  soon();
}

const sameAs = (a) => (b) => a.seq === b.seq && a.time === b.time; // a gateway that began anew counts from 1 again
const ofFlow = (e) => e.type.startsWith('flow.');

// take keeps an event. Rare ones are not pushed out by those of flows.
function take(event) {
  if (kept.some(sameAs(event))) return;
  kept.push(event);
  if (kept.length <= KEPT) return;
  kept.splice(kept.filter(ofFlow).length > KEPT / 2 ? kept.findIndex(ofFlow) : 0, 1);
}

function soon() {
  if (!timer) timer = setTimeout(show, PACE);
}

function show() {
  timer = 0;
  const items = [...kept].sort((a, b) => Date.parse(b.time) - Date.parse(a.time) || b.seq - a.seq);
  if (missed) items.unshift({ seq: 0, type: 'missed', time: '', message: `${missed} more came too fast to be shown` });
  $('.empty', section).hidden = items.length > 0;
  rows(list, items, (e) => `${e.seq} ${e.time}`, (e) => {
    const [sign, name] = SIGNS[e.type] ?? ['·', ''];
    const text = el('span', { class: 'message' });
    const node = el('li', {}, el('time', {}, e.time && when(e.time)), ' ', el('span', { class: `type ${name}` }, `${sign} ${e.type}`), ' ', text);
    return { node, update: (e) => write(text, e.message) };
  });
}
