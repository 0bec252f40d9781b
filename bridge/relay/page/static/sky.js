// The sky plot: zenith in the middle, horizon at the rim, north up.

import { element, isNumber, roughSpan, setText, svg } from './format.js';
import { classOf, describe, groupsOf, mark } from './satellites.js';

const MARK = 6.2;               // radius of a mark
const OLD = 15;                 // seconds: some receivers report satellites every ten
const SMALLEST = 200, RIM = 24; // px: of the whole plot; around the horizon, for the winds

// A plot is as large as there is room, in pixels: labels stay as large as they
// are and find their places again. c is its centre, r the radius of the horizon.
const place = (s, { c, r }) => {
  const d = r * (90 - s.el) / 90, a = s.az * Math.PI / 180;
  return [c + d * Math.sin(a), c - d * Math.cos(a)];
};

const winds = ({ c, r }) => [['N', c, c - r - 7], ['E', c + r + 12, c + 4], ['S', c, c + r + 17], ['W', c - r - 12, c + 4]];

// Where a label may stand beside its mark, best first: dx, dy, anchor.
const SPOTS = [
  [9, 3.6, 'start'], [-9, 3.6, 'end'], [0, -9.5, 'middle'], [0, 16.5, 'middle'],
  [7.5, -5, 'start'], [-7.5, -5, 'end'], [7.5, 12, 'start'], [-7.5, 12, 'end'],
];
// Farther away a line leads from the label to its mark.
const FAR = [18, 26, 36].flatMap((r) => [0, 45, 90, 135, 180, 225, 270, 315].map((a) => {
  const dx = r * Math.cos(a * Math.PI / 180), dy = r * Math.sin(a * Math.PI / 180);
  return [dx, dy + 3.6, Math.abs(dx) < 1 ? 'middle' : dx > 0 ? 'start' : 'end', true];
}));

function box(x, y, anchor, text) {
  const w = text.length * 6.6, left = anchor === 'start' ? x : anchor === 'end' ? x - w : x - w / 2;
  return [left, y - 8.5, left + w, y + 1.5];
}

const overlap = (a, b) => a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];

// labelled gives each satellite the first spot where its label covers no mark
// and no other label; where all are taken the tooltip has to do. The strong and
// used choose first.
function labelled(placed, plot) {
  const marks = placed.map(({ x, y }) => [x - MARK, y - MARK, x + MARK, y + MARK]);
  const taken = winds(plot).map(([, x, y]) => [x - 6, y - 11, x + 6, y + 2]);
  const chosen = new Map();
  const order = [...placed].sort((a, b) => b.s.used - a.s.used || (b.s.ss ?? 0) - (a.s.ss ?? 0));
  for (const p of order) {
    for (const [dx, dy, anchor, led] of [...SPOTS, ...FAR]) {
      const b = box(p.x + dx, p.y + dy, anchor, p.s.label);
      if (b[0] < 2 || b[2] > 2 * plot.c - 2 || b[1] < 2 || b[3] > 2 * plot.c - 2) continue;
      if (taken.some((t) => overlap(b, t)) || marks.some((m, i) => placed[i] !== p && overlap(b, m))) continue;
      taken.push(b);
      chosen.set(p.s.key, { x: p.x + dx, y: p.y + dy, anchor, led });
      break;
    }
  }
  return chosen;
}

function frame(plot) {
  const { c, r } = plot, g = svg('g', { class: 'frame' });
  for (const el of [0, 30, 60]) g.append(svg('circle', { cx: c, cy: c, r: r * (90 - el) / 90, class: el ? 'ring' : 'ring horizon' }));
  g.append(svg('path', { d: `M${c - r} ${c}H${c + r}M${c} ${c - r}V${c + r}`, class: 'ring' }));
  for (const [t, x, y] of winds(plot)) {
    g.append(svg('text', { x, y, class: t === 'N' ? 'wind north-mark' : 'wind', 'text-anchor': 'middle' }, t));
  }
  for (const el of [30, 60]) g.append(svg('text', { x: c + 3, y: c - r * (90 - el) / 90 - 3, class: 'degrees' }, `${el}°`));
  return g;
}

export class SkyPlot {
  constructor(host, aside, legend) {
    Object.assign(this, { host, aside, legend, satellites: [], summary: '' });
    new ResizeObserver(() => this.render(this.satellites)).observe(host);
  }

  render(satellites) {
    this.satellites = satellites;
    const size = this.host.clientWidth;
    if (!size) return; // another tab is shown
    const plot = { c: Math.max(SMALLEST, size) / 2, r: Math.max(SMALLEST, size) / 2 - RIM };
    const known = satellites.filter((s) => isNumber(s.el) && isNumber(s.az) && s.el >= 0);
    const used = satellites.filter((s) => s.used).length;
    const summary = satellites.length ? `${used} used of ${satellites.length} seen` : 'no satellites reported yet';
    const root = svg('svg', { viewBox: `0 0 ${2 * plot.c} ${2 * plot.c}`, role: 'img', 'aria-label': `Sky plot: ${summary}` }, frame(plot));
    const placed = known.map((s) => { const [x, y] = place(s, plot); return { s, x, y }; });
    // Used ones are drawn last, on top.
    placed.sort((a, b) => a.s.used - b.s.used);
    const labels = labelled(placed, plot);
    for (const { s, x, y } of placed) {
      const g = svg('g', { class: classOf(s) },
        svg('title', {}, describe(s)));
      const l = labels.get(s.key);
      if (l?.led) g.append(svg('path', { d: `M${x} ${y}L${l.x} ${l.y - 3.6}`, class: 'lead' }));
      g.append(mark(s.shape, x, y, MARK, 'mark'));
      if (l) g.append(svg('text', { x: l.x, y: l.y, 'text-anchor': l.anchor }, s.label));
      root.append(g);
    }
    this.host.replaceChildren(root);
    const lost = satellites.length - known.length;
    this.summary = satellites.length ? summary + (lost ? ` · ${lost} without direction` : '') : '';
    setText(this.aside, this.summary);
    this.legend.replaceChildren(...groupsOf(satellites).map((g) => element('li', {},
      svg('svg', { viewBox: '-9 -9 18 18', 'aria-hidden': 'true', class: 'sat used' }, mark(g.shape, 0, 0, 6, 'mark')),
      element('span', {}, g.name), element('b', {}, `${g.used}/${g.list.length}`))));
  }

  // grow shows how old the satellites are, when they are old.
  grow(age) {
    const old = age > OLD;
    document.body.toggleAttribute('data-old-sky', old);
    if (old) setText(this.aside, `${this.summary} · ${roughSpan(age)} ago`);
  }
}
