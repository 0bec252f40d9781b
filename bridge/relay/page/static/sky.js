// The sky plot: zenith in the middle, horizon at the rim, north up.

import { element, isNumber, setText, svg } from './format.js';
import { describe, groupsOf, mark } from './satellites.js';

const R = 150, MARK = 6.4, C = 176; // radius of the horizon, of a mark; centre

const place = (s) => {
  const r = R * (90 - s.el) / 90, a = s.az * Math.PI / 180;
  return [C + r * Math.sin(a), C - r * Math.cos(a)];
};

const WINDS = [['N', C, C - R - 7], ['E', C + R + 12, C + 4], ['S', C, C + R + 17], ['W', C - R - 12, C + 4]];

// Where a label may stand beside its mark, best first: dx, dy, anchor.
const SPOTS = [
  [9, 3.6, 'start'], [-9, 3.6, 'end'], [0, -9.5, 'middle'], [0, 16.5, 'middle'],
  [7.5, -5, 'start'], [-7.5, -5, 'end'], [7.5, 12, 'start'], [-7.5, 12, 'end'],
  [14, 3.6, 'start'], [-14, 3.6, 'end'], [0, -15, 'middle'], [0, 22, 'middle'],
];

function box(x, y, anchor, text) {
  const w = text.length * 6.6, left = anchor === 'start' ? x : anchor === 'end' ? x - w : x - w / 2;
  return [left, y - 8.5, left + w, y + 1.5];
}

const overlap = (a, b) => a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];

// labelled gives each satellite the first spot where its label covers no mark
// and no other label; where all are taken the tooltip has to do. The strong and
// used choose first.
function labelled(placed) {
  const marks = placed.map(({ x, y }) => [x - MARK, y - MARK, x + MARK, y + MARK]);
  const taken = WINDS.map(([, x, y]) => [x - 6, y - 11, x + 6, y + 2]);
  const chosen = new Map();
  const order = [...placed].sort((a, b) => b.s.used - a.s.used || (b.s.ss ?? 0) - (a.s.ss ?? 0));
  for (const p of order) {
    for (const [dx, dy, anchor] of SPOTS) {
      const b = box(p.x + dx, p.y + dy, anchor, p.s.label);
      if (b[0] < 2 || b[2] > 2 * C - 2 || b[1] < 2 || b[3] > 2 * C - 2) continue;
      if (taken.some((t) => overlap(b, t)) || marks.some((m, i) => placed[i] !== p && overlap(b, m))) continue;
      taken.push(b);
      chosen.set(p.s.key, { x: p.x + dx, y: p.y + dy, anchor });
      break;
    }
  }
  return chosen;
}

function frame() {
  const g = svg('g', { class: 'frame' });
  for (const el of [0, 30, 60]) g.append(svg('circle', { cx: C, cy: C, r: R * (90 - el) / 90, class: el ? 'ring' : 'ring horizon' }));
  g.append(svg('path', { d: `M${C - R} ${C}H${C + R}M${C} ${C - R}V${C + R}`, class: 'ring' }));
  for (const [t, x, y] of WINDS) {
    g.append(svg('text', { x, y, class: t === 'N' ? 'wind north-mark' : 'wind', 'text-anchor': 'middle' }, t));
  }
  for (const el of [30, 60]) g.append(svg('text', { x: C + 3, y: C - R * (90 - el) / 90 - 3, class: 'degrees' }, `${el}°`));
  return g;
}

export class SkyPlot {
  constructor(host, aside, legend) {
    Object.assign(this, { host, aside, legend });
    this.render([]);
  }

  render(satellites) {
    const known = satellites.filter((s) => isNumber(s.el) && isNumber(s.az) && s.el >= 0);
    const used = satellites.filter((s) => s.used).length;
    const summary = satellites.length ? `${used} used of ${satellites.length} seen` : 'no satellites reported yet';
    const root = svg('svg', { viewBox: `0 0 ${2 * C} ${2 * C}`, role: 'img', 'aria-label': `Sky plot: ${summary}` }, frame());
    const placed = known.map((s) => { const [x, y] = place(s); return { s, x, y }; });
    // Used ones are drawn last, on top.
    placed.sort((a, b) => a.s.used - b.s.used);
    const labels = labelled(placed);
    for (const { s, x, y } of placed) {
      const g = svg('g', { class: `sat gnss${s.id} ${s.used ? 'used' : s.ss ? 'seen' : 'mute'}` },
        svg('title', {}, describe(s)), mark(s.shape, x, y, MARK, 'mark'));
      const l = labels.get(s.key);
      if (l) g.append(svg('text', { x: l.x, y: l.y, 'text-anchor': l.anchor }, s.label));
      root.append(g);
    }
    this.host.replaceChildren(root);
    const lost = satellites.length - known.length;
    setText(this.aside, satellites.length ? summary + (lost ? ` · ${lost} without direction` : '') : '');
    this.legend.replaceChildren(...groupsOf(satellites).map((g) => element('li', { className: `gnss${g.id}` },
      svg('svg', { viewBox: '-9 -9 18 18', 'aria-hidden': 'true', class: 'sat used' }, mark(g.shape, 0, 0, 6, 'mark')),
      element('span', {}, g.name), element('b', {}, `${g.used}/${g.list.length}`))));
  }
}
