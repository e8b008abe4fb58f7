// What /v1/status says: the head of the page, the figures, traffic, rules, drops, resets.
import { Gone, Refusal, ask } from './ask.js';
import { lines } from './charts.js';
import { $, brief, cells, el, mark, rows, say, write } from './dom.js';
import { bits, count, duration, exact, percent, rate, when } from './format.js';
import { History } from './history.js';
import { every } from './poll.js';
import { find } from './flows.js';

const STATES = ['SYN_SENT', 'SYN_RECEIVED', 'ESTABLISHED', 'FIN_WAIT', 'TIME_WAIT', 'CLOSED', 'ACTIVE'];
const history = new History();
const all = (map) => Object.values(map ?? {}).reduce((sum, n) => sum + n, 0);
const ofSide = (side, what) => (s) => s.totals[side][what];
const both = (what) => (s) => s.totals.inside[what] + s.totals.outside[what];
const bitRate = (bytesPerSecond) => bytesPerSecond == null ? null : bytesPerSecond * 8;

let bitChart, packetChart, briefRules;

export function start() {
  bitChart = lines($('#bits'), bits);
  packetChart = lines($('#packets'), rate);
  briefRules = brief($('#rules .more'), 20);
  every(1000, async () => {
    try {
      show(await ask('/v1/status'));
      reachable('');
    } catch (e) {
      if (e instanceof Gone) away();
      else if (e instanceof Refusal) reachable(e.status === 401 ? '' : `The gateway refuses to say how it is: ${e.message}`);
      else throw e;
    }
  });
}

let goneSince = null, lastSeen = null;

// away says since when. The figures stay, and look old.
function away() {
  goneSince ??= lastSeen ?? new Date();
  mark($('#state'), 'badge bad');
  write($('#state'), '✕ not reachable');
  banner(`The gateway is not reachable since ${when(goneSince)}. What is shown below is from before. Trying again every second.`);
  document.body.classList.add('stale');
}

function reachable(trouble) {
  if (goneSince) say('The gateway is reachable again.');
  goneSince = null;
  lastSeen = new Date();
  banner(trouble);
  document.body.classList.remove('stale');
}

function banner(text) {
  write($('#banner'), text);
}

function show(status) {
  history.add(status);
  showHead(status);
  showFigures(status.totals);
  showTraffic();
  showRules(status.rules);
  showReasons($('#dropped'), status.totals.drops, 'drops', 'No packet was dropped.');
  showReasons($('#resets'), status.totals.resets, 'resets', 'No reset was sent.');
}

function showHead(s) {
  mark($('#state'), s.ready ? 'badge good' : 'badge bad');
  write($('#state'), s.ready ? '● ready' : `▲ not ready: ${s.notReady ?? ''}`);
  const config = s.config ?? {};
  const facts = [`datapath ${s.datapath}`, `up ${duration(Math.floor(s.uptimeSeconds))}`, s.version];
  if (config.source) facts.push(`configuration ${config.source}` + (config.loaded ? ` of ${when(config.loaded)}` : ''));
  if (config.lastError) facts.push(`▲ the last change was rejected: ${config.lastError}`);
  write($('#facts'), facts.join(' · '), s.datapathReason);
}

function figure(id, text, title) { write($('#now-' + id), text, title); }

function showFigures(t) {
  figure('flows', count(t.flows), exact(t.flows));
  figure('full', `${percent(t.flows, t.maxFlows)} of ${count(t.maxFlows)}`, exact(t.maxFlows));
  figure('created', rate(history.rate((s) => s.totals.created)));
  figure('closed', `${count(t.created)} since the start`, exact(t.created));
  figure('packets', rate(history.now(both('packetsIn'))));
  figure('bits', bits(bitRate(history.now(both('bytesIn')))));
  figure('drops', rate(history.rate((s) => all(s.totals.drops))));
  figure('dropped', `${count(all(t.drops))} since the start`, exact(all(t.drops)));
  figure('resets', rate(history.rate((s) => all(s.totals.resets))));
  figure('reset', `${count(all(t.resets))} since the start`, exact(all(t.resets)));
}

function showTraffic() {
  const side = (what) => [history.now(ofSide('inside', what)), history.now(ofSide('outside', what))];
  const t = Date.now() / 1000;
  bitChart.add(t, ...side('bytesIn').map(bitRate));
  packetChart.add(t, ...side('packetsIn'));
  rows($('#sides'), ['inside', 'outside'], (s) => s, () => {
    const { node, all: [name, ...figures] } = cells('', 'n', 'n', 'n', 'n');
    return { node, update(s) {
      write(name, s);
      ['packetsIn', 'packetsOut'].forEach((w, i) => write(figures[i], rate(history.now(ofSide(s, w)))));
      ['bytesIn', 'bytesOut'].forEach((w, i) => write(figures[i + 2], bits(bitRate(history.now(ofSide(s, w))))));
    } };
  });
}

function showRules(rules) {
  $('#rules .empty').hidden = rules.length > 0;
  const sorted = [...rules].sort((a, b) => b.flows - a.flows);
  rows($('#rules tbody'), briefRules(sorted, () => showRules(rules)), (r) => `${r.type} ${r.name} ${Boolean(r.removed)}`, ruleRow);
}

function ruleRow(rule) {
  const { node, all: [name, type, idle, reset, flows, ...states] } = cells('', '', 'n', '', 'n', ...STATES.map(() => 'n'));
  name.append(el('button', { type: 'button', class: 'link', onclick: () => find({ rule: rule.name }) }, rule.name));
  return { node, update(r) {
    write(type, r.removed ? `${r.type} (removed)` : r.type, r.position);
    write(idle, duration(r.idleTimeoutSeconds));
    write(reset, r.enableTcpReset ? 'yes' : 'no');
    write(flows, count(r.flows), exact(r.flows));
    STATES.forEach((s, i) => {
      const n = r.states?.[s] ?? 0;
      write(states[i], n ? count(n) : '·', exact(n));
    });
  } };
}

// showReasons lists those that have counted anything, the busiest first.
function showReasons(body, counts, which, none) {
  const known = Object.entries(counts ?? {}).filter(([, n]) => n > 0)
    .map(([reason, n]) => ({ reason, n, rate: history.rate((s) => s.totals[which]?.[reason] ?? 0) }))
    .sort((a, b) => b.rate - a.rate || b.n - a.n);
  rows(body, known.length ? known : [{ reason: none }], (k) => k.reason, () => {
    const { node, all: [reason, perSecond, n] } = cells('', 'n', 'n');
    return { node, update(k) {
      write(reason, k.reason);
      write(perSecond, k.n ? rate(k.rate) : '');
      write(n, k.n ? count(k.n) : '', k.n ? exact(k.n) : '');
    } };
  });
}
