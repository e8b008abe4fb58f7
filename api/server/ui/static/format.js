// Numbers and times as people read them. What is shortened has its exact value in the title.

const whole = new Intl.NumberFormat('en-GB', { maximumFractionDigits: 0 });
const units = [[1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e3, 'k']];

export const exact = (n) => whole.format(n);

// digits gives three of them.
function digits(n) {
  const places = n >= 100 ? 0 : n >= 10 ? 1 : 2;
  return n.toFixed(places);
}

function scaled(n, from) {
  for (const [size, unit] of units) {
    if (n >= from && n >= size * 0.9995) return `${digits(n / size)} ${unit}`;
  }
  return null;
}

// count: 9,999, then 10.0 k.
export const count = (n) => scaled(n, 10_000) ?? exact(n);

// per second
export function rate(n) {
  if (n == null) return '–';
  if (n > 0 && n < 0.1) return '< 0.1/s';
  return `${scaled(n, 1000) ?? (n < 10 && n % 1 ? n.toFixed(1) : exact(n))}/s`;
}

export function bits(n) {
  if (n == null) return '–';
  const s = scaled(n, 1000);
  return s ? `${s}bit/s` : `${exact(n)} bit/s`;
}

export function bytes(n) {
  const s = scaled(n, 1000);
  return s ? `${s}B` : `${exact(n)} B`;
}

export function percent(part, all) {
  if (!all || !part) return '0 %';
  const p = 100 * part / all;
  return p < 0.1 ? '< 0.1 %' : `${p.toFixed(p < 10 ? 1 : 0)} %`;
}

// duration of seconds, in its two largest units.
export function duration(s) {
  if (s < 10 && s % 1) return `${s.toFixed(1)} s`;
  s = Math.round(s);
  const parts = [[86400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];
  for (const [i, [size, unit]] of parts.entries()) {
    if (s < size && size > 1) continue;
    const rest = i < 3 ? Math.floor(s % size / parts[i + 1][0]) : 0;
    return `${Math.floor(s / size)} ${unit}` + (rest ? ` ${rest} ${parts[i + 1][1]}` : '');
  }
}

const two = (n) => String(n).padStart(2, '0');

// clock is the local time of day.
export function clock(t, seconds = true) {
  const d = new Date(t);
  return `${two(d.getHours())}:${two(d.getMinutes())}` + (seconds ? `:${two(d.getSeconds())}` : '');
}

// when is a time of day, and the date if it was another day.
export function when(t) {
  const d = new Date(t);
  const today = d.toDateString() === new Date().toDateString();
  return today ? clock(d) : `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${clock(d, false)}`;
}
