// Constellations by gnssid as gpsd numbers them: name, RINEX's letter before a
// satellite's number, and a shape each, so that colour is never needed to
// distinguish them.

import { isNumber, svg } from './format.js';

const CONSTELLATIONS = {
  0: { name: 'GPS', letter: 'G', shape: 'circle' },
  6: { name: 'GLONASS', letter: 'R', shape: 'diamond' },
  2: { name: 'Galileo', letter: 'E', shape: 'down' },
  3: { name: 'BeiDou', letter: 'C', shape: 'up' },
  5: { name: 'QZSS', letter: 'J', shape: 'hexagon' },
  7: { name: 'NavIC', letter: 'I', shape: 'pentagon' },
  1: { name: 'SBAS', letter: 'S', shape: 'square' },
};
const OTHER = { name: 'Other', letter: '', shape: 'cross' };
const ORDER = [0, 6, 2, 3, 5, 7, 1];
const MOST = 200; // more than are in the sky; drawing thousands would stop the page

// satellitesOf makes a list out of a SKY message: one entry a satellite, sorted
// by constellation and number. A receiver that reports a satellite once a
// signal is shown with its strongest.
export function satellitesOf(sky) {
  const found = new Map();
  for (const s of (sky?.satellites ?? []).slice(0, MOST)) {
    const id = Object.hasOwn(CONSTELLATIONS, s.gnssid) ? s.gnssid : -1;
    const c = CONSTELLATIONS[id] ?? OTHER;
    const number = s.svid ?? s.PRN;
    const key = `${id}:${number}`;
    const old = found.get(key);
    if (old && (old.ss ?? -1) >= (s.ss ?? -1)) { old.used ||= Boolean(s.used); continue; }
    found.set(key, {
      key, id, name: c.name, shape: c.shape, label: `${c.letter}${number}`, number,
      el: s.el, az: s.az, ss: isNumber(s.ss) && s.ss > 0 ? s.ss : undefined,
      used: Boolean(s.used) || Boolean(old?.used),
    });
  }
  const place = (s) => (s.id < 0 ? 99 : ORDER.indexOf(s.id));
  return [...found.values()].sort((a, b) => place(a) - place(b) || a.number - b.number);
}

const POINTS = {
  diamond: [[0, -1.25], [1.25, 0], [0, 1.25], [-1.25, 0]],
  up: [[0, -1.2], [1.2, 0.95], [-1.2, 0.95]],
  down: [[0, 1.2], [1.2, -0.95], [-1.2, -0.95]],
  square: [[-0.9, -0.9], [0.9, -0.9], [0.9, 0.9], [-0.9, 0.9]],
  hexagon: ring(6, 1.15),
  pentagon: ring(5, 1.2),
};

function ring(n, r) {
  return Array.from({ length: n }, (_, i) => [r * Math.sin(2 * Math.PI * i / n), -r * Math.cos(2 * Math.PI * i / n)]);
}

// mark draws a constellation's shape with radius r around a point.
export function mark(shape, x, y, r, className) {
  if (shape === 'circle') return svg('circle', { cx: x, cy: y, r, class: className });
  if (shape === 'cross') return svg('path', { d: `M${x - r} ${y - r}l${2 * r} ${2 * r}M${x + r} ${y - r}l${-2 * r} ${2 * r}`, class: className });
  return svg('polygon', { points: POINTS[shape].map(([px, py]) => `${(x + px * r).toFixed(1)},${(y + py * r).toFixed(1)}`).join(' '), class: className });
}

// The colours of C/N0 as GPSTest has them: grey at 10 dB-Hz and below, red at
// 22, yellow at 33, green from 46 on. The style sheet mixes what lies between.
const GREY = 10, STEP = 4.5, LEVELS = 9;

// levelOf is the class of a signal's colour, cn0 to cn8.
const levelOf = (ss) => (isNumber(ss) ? `cn${Math.min(LEVELS - 1, Math.max(0, Math.round((ss - GREY) / STEP)))}` : 'cnx');

// classOf is all that is drawn of a satellite.
export const classOf = (s) => `sat ${levelOf(s.ss)} ${s.used ? 'used' : s.ss ? 'seen' : 'silent'}`;

// scaleOf is the legend of the colours.
export const scaleOf = () => [10, 22, 33, 46].flatMap((ss) => [
  svg('svg', { viewBox: '0 0 10 10', class: `sat used ${levelOf(ss)}` }, svg('rect', { x: 0.5, y: 0.5, width: 9, height: 9, rx: 2, class: 'mark' })), String(ss)]);

// describe is a satellite in words, for a tooltip.
export function describe(s) {
  const where = isNumber(s.el) && isNumber(s.az) ? `, elevation ${s.el}°, azimuth ${s.az}°` : ', direction unknown';
  return `${s.name} ${s.number}: ${s.ss ? `${s.ss} dB-Hz` : 'no signal'}${where}, ${s.used ? 'used' : 'not used'}`;
}

// groupsOf counts used and seen of each constellation, in order.
export function groupsOf(satellites) {
  const groups = new Map();
  for (const s of satellites) {
    if (!groups.has(s.name)) groups.set(s.name, { name: s.name, id: s.id, shape: s.shape, list: [], used: 0 });
    const g = groups.get(s.name);
    g.list.push(s);
    if (s.used) g.used++;
  }
  return [...groups.values()];
}
