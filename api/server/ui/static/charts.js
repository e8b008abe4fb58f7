// Lines over the last ten minutes, and bars. What a chart shows is also there as text.
import { clock } from './format.js';

const KEPT = 600; // seconds
const HEIGHT = 150; // CSS pixels

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// drawn makes a chart of options(), anew when the colours of the page change, and keeps
// it as wide as its place. It returns how to give it new values.
function drawn(place, options, values) {
  let chart = null;
  const size = () => ({ width: Math.max(200, place.clientWidth), height: HEIGHT });
  const make = () => {
    chart?.destroy();
    chart = new uPlot({ ...size(), ...options() }, values(), place);
  };
  make();
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', make);
  let width = place.clientWidth;
  new ResizeObserver(() => {
    if (place.clientWidth === width) return;
    width = place.clientWidth;
    requestAnimationFrame(() => chart.setSize(size()));
  }).observe(place);
  return () => chart.setData(values());
}

function axis(more) {
  const line = { stroke: colour('--rule'), width: 1 };
  return { stroke: colour('--quiet'), font: '11px system-ui, sans-serif', grid: line, ticks: { ...line, size: 4 }, ...more };
}

const common = { legend: { show: false }, cursor: { show: false }, padding: [8, 8, 0, 0] };

// lines draws two series. add(seconds since 1970, a, b) takes null for what is not known.
export function lines(place, format) {
  const kept = [[], [], []];
  const last = () => kept[0].at(-1) ?? Date.now() / 1000;
  const series = (name, dash) => ({ stroke: colour(name), width: 1.5, dash, points: { show: false }, spanGaps: false });
  const show = drawn(place, () => ({
    ...common,
    scales: { x: { time: true, range: () => [last() - KEPT, last()] }, y: { range: (u, min, max) => [0, Math.max(10, (max ?? 0) * 1.15)] } },
    axes: [
      axis({ values: (u, at) => at.map((t) => clock(t * 1000, false)), space: 60, size: 26 }),
      axis({ values: (u, at) => at.map(format), size: 74, space: 22 }),
    ],
    series: [{}, series('--a'), series('--b', [5, 3])],
  }), () => kept);
  return {
    add(t, ...values) {
      [t, ...values].forEach((v, i) => kept[i].push(v));
      const old = kept[0].findIndex((x) => x >= t - KEPT);
      for (const of of kept) of.splice(0, old);
      show();
    },
  };
}

// bars draws counts of the classes between edges, all as wide. set() takes marks too:
// { at: place among the edges, dashed }; place i + 0.5 is edge i.
export function bars(place, format, edgeName) {
  let counts = [], edges = [], marks = [];
  const marked = (u) => {
    for (const { at, dashed } of marks) {
      const x = u.valToPos(at, 'x', true), { ctx, bbox } = u, scale = devicePixelRatio;
      ctx.save();
      ctx.strokeStyle = colour(dashed ? '--accent' : '--text');
      ctx.lineWidth = 2 * scale;
      ctx.setLineDash(dashed ? [5 * scale, 3 * scale] : []);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      ctx.restore();
    }
  };
  const named = () => {
    const apart = Math.max(1, Math.ceil(edges.length * 48 / Math.max(150, place.clientWidth - 80)));
    return edges.map((_, i) => i + 0.5).filter((_, i) => i % apart === 0);
  };
  const show = drawn(place, () => ({
    ...common,
    scales: { x: { time: false, range: () => [-0.5, Math.max(1, counts.length) - 0.5] }, y: { range: (u, min, max) => [0, Math.max(4, (max ?? 0) * 1.15)] } },
    axes: [
      axis({ splits: named, values: (u, at) => at.map((x) => edgeName(edges[x - 0.5])), grid: { show: false }, size: 26 }),
      axis({ values: (u, at) => at.map((n) => n % 1 ? '' : format(n)), size: 50, space: 22 }),
    ],
    series: [{}, { stroke: colour('--a'), fill: colour('--a-soft'), width: 1, paths: uPlot.paths.bars({ size: [0.85, 60] }), points: { show: false } }],
    hooks: { draw: [marked] },
  }), () => [counts.map((_, i) => i), counts]);
  return { set(c, e, m) { [counts, edges, marks] = [c, e, m]; show(); } };
}
