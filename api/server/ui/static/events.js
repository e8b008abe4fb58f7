// What has happened. Rare events come as a stream, after the last hundred of them. Those of
// flows, of which there may be more in a second than can be shown, are asked for now and then.
import { ask, open, Gone, Refusal } from './ask.js';
import { $, el, problem, rows, write } from './dom.js';
import { when } from './format.js';
import { awake, every, onChange } from './poll.js';

const SHOWN = 100;
const PACE = 500; // ms between two looks of the list, however much comes
const RETRY = 3000; // ms
const POLL = 2000; // ms

const RARE = ['snat.exhausted', 'backend.up', 'backend.down', 'config.reloaded', 'config.rejected'];
const OF_FLOWS = { all: ['flow.created', 'flow.closed'], ends: ['flow.closed'], rare: [] };
const SIGNS = {
  'snat.exhausted': ['✕', 'exhausted'], 'backend.down': ['✕', 'exhausted'], 'config.rejected': ['✕', 'exhausted'],
  'backend.up': ['●', 'good'], 'config.reloaded': ['●', 'good'],
};

const section = $('#events'), list = $('ol', section), kind = $('#events-kind');
let rare = [], ofFlows = [], missed = 0, timer = 0, stop = null;
let run = ''; // of the gateway: one that began anew counts from 1 again

export function start() {
  const again = every(POLL, poll);
  kind.addEventListener('change', () => {
    ofFlows = [];
    show();
    again();
  });
  onChange(follow);
  follow();
}

// poll asks for the last events of flows.
async function poll() {
  const chosen = kind.value;
  if (!OF_FLOWS[chosen].length) return;
  try {
    const { events } = await ask(`/v1/events?${query(OF_FLOWS[chosen])}`);
    if (chosen !== kind.value) return;
    ofFlows = events;
    soon();
  } catch (e) {
    if (!(e instanceof Gone || e instanceof Refusal)) throw e; // why, the stream says too
  }
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

function query(types) {
  return new URLSearchParams([['limit', SHOWN], ...types.map((t) => ['type', t])]);
}

// once reads a stream to its end. It is opened before all else is asked for: so no event
// falls between, and as long as it goes on it is of the run that the status names. Events
// that come by both ways are taken once.
async function once(outer) {
  const mine = new AbortController(), signal = AbortSignal.any([outer, mine.signal]);
  try {
    const stream = await open(`/v1/events?${query(RARE)}`, { headers: { Accept: 'text/event-stream' }, signal });
    const { started } = await ask('/v1/status'), { events } = await ask(`/v1/events?${query(RARE)}`);
    if (signal.aborted) return;
    problem(section, '');
    run = started;
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

// take keeps a rare event.
function take(event) {
  if (rare.some((e) => e.seq === event.seq && e.run === run)) return;
  rare.push({ ...event, run });
  if (rare.length > SHOWN) rare.shift();
}

function soon() {
  if (!timer) timer = setTimeout(show, PACE);
}

// show shows as many of both sorts as there are, but half of each at least.
function show() {
  timer = 0;
  const few = rare.slice(-Math.max(SHOWN / 2, SHOWN - ofFlows.length));
  const items = [...few, ...ofFlows.slice(Math.max(0, ofFlows.length - SHOWN + few.length))]
    .sort((a, b) => Date.parse(b.time) - Date.parse(a.time) || b.seq - a.seq);
  if (missed) items.unshift({ seq: 0, type: 'missed', time: '', message: `${missed} more came too fast to be shown` });
  $('.empty', section).hidden = items.length > 0;
  rows(list, items, (e) => `${e.seq} ${e.time}`, (e) => {
    const [sign, name] = SIGNS[e.type] ?? ['·', ''];
    const text = el('span', { class: 'message' });
    const node = el('li', {}, el('time', {}, e.time && when(e.time)), ' ', el('span', { class: `type ${name}` }, `${sign} ${e.type}`), ' ', text);
    return { node, update: (e) => write(text, e.message) };
  });
}
