// How long live flows have been silent, and how many a shorter timeout would have ended.
import { bars } from './charts.js';
import { $, cells, el, rows, say, write } from './dom.js';
import { count, duration, exact, percent } from './format.js';
import { panel } from './poll.js';

const section = $('#idle'), choice = $('#idle-rule'), slider = $('#idle-slider');
const ALL = '';

let ages = { bounds: [], rules: [] }, asked = 60; // seconds that the slider is at
let chart;

export function start() {
  chart = bars($('#ages'), count, duration);
  choice.addEventListener('change', show);
  slider.addEventListener('input', () => {
    asked = edges()[Number(slider.value)] ?? asked;
    show();
    say($('#idle-answer').textContent); // not each time that the figures change by themselves
  });
  panel(section, 10_000, '/v1/idle', (answer) => {
    ages = answer;
    show();
  });
}

const keyOf = (r) => `${r.ruleType} ${r.rule}`;
const chosen = () => ages.rules.filter((r) => choice.value === ALL || keyOf(r) === choice.value);

// edges are the bounds up to the longest timeout: beyond it no flow can be.
function edges() {
  const longest = Math.max(0, ...chosen().map((r) => r.idleTimeoutSeconds));
  const end = ages.bounds.findIndex((b) => b >= longest);
  return end < 0 ? ages.bounds : ages.bounds.slice(0, end + 1);
}

function show() {
  showChoice();
  const rules = chosen(), bounds = edges();
  const flows = rules.reduce((sum, r) => sum + r.flows, 0);
  const longer = bounds.map((_, i) => rules.reduce((sum, r) => sum + (r.longer[i] ?? 0), 0));
  $('.empty', section).hidden = ages.rules.length > 0;
  $('#idle-flows').hidden = ages.rules.length === 0;
  showSlider(bounds);
  showAnswer(flows, bounds, longer);
  const between = classes(flows, longer);
  chart.set(between, bounds, marks(rules, bounds));
  showTable(between, bounds);
}

function showChoice() {
  const options = [{ key: ALL, text: 'all rules' }, ...ages.rules.map((r) => ({ key: keyOf(r), text: `${r.rule} (${r.ruleType})` }))];
  const before = choice.value;
  rows(choice, options, (o) => o.key, (o) => ({ node: el('option', { value: o.key }), update(o) { write(this.node, o.text); } }));
  if (!options.some((o) => o.key === before)) choice.value = ALL;
}

// showSlider leaves it at the duration that was asked for, or the nearest there is.
function showSlider(bounds) {
  slider.max = Math.max(0, bounds.length - 1);
  slider.disabled = bounds.length === 0;
  const at = bounds.findIndex((b) => b >= asked);
  slider.value = at < 0 ? bounds.length - 1 : at;
  const text = bounds.length ? duration(bounds[Number(slider.value)]) : '–';
  slider.setAttribute('aria-valuetext', text);
  write($('#idle-bound'), text);
}

function showAnswer(flows, bounds, longer) {
  const at = Number(slider.value), n = longer[at] ?? 0;
  write($('#idle-answer'), flows === 0 ? '' : `${exact(n)} of ${exact(flows)} live flows (${percent(n, flows)}) ` +
    `have been silent for longer than ${duration(bounds[at])}: that timeout would have ended them.`);
}

// classes counts the flows between the bounds, and beyond the last one.
function classes(flows, longer) {
  const above = [flows, ...longer];
  return above.map((n, i) => Math.max(0, n - (above[i + 1] ?? 0)));
}

// marks are the timeouts in force, and the one asked for.
function marks(rules, bounds) {
  const inForce = new Set(rules.map((r) => r.idleTimeoutSeconds));
  const all = [...inForce].map((s) => ({ at: placeOf(s, bounds), dashed: false }));
  return bounds.length ? [...all, { at: Number(slider.value) + 0.5, dashed: true }] : all;
}

// placeOf is where a duration lies between the edges, which are one apart.
function placeOf(s, bounds) {
  const i = bounds.findIndex((b) => b >= s);
  if (i < 0) return bounds.length;
  const before = i ? bounds[i - 1] : 0;
  return i - 0.5 + (s - before) / (bounds[i] - before);
}

function showTable(between, bounds) {
  const list = between.map((n, i) => ({ name: i < bounds.length ? duration(bounds[i]) : 'longer', n }));
  rows($('tbody', section), list, (c) => c.name, () => {
    const { node, all: [name, n] } = cells('', 'n');
    return { node, update(c) {
      write(name, c.name);
      write(n, exact(c.n));
    } };
  });
}
