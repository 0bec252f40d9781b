// Signal strength of every satellite as bars, in as many rows as it takes for
// the labels not to touch.

import { element, svg } from './format.js';
import { classOf, describe, groupsOf, mark } from './satellites.js';

const BAR = 15, WIDE = 22, GAP = 12;    // width a bar takes, with three digits below; space between constellations
const TOP = 24, FOOT = 18;            // of one row, above and below the bars
const LOWER = matchMedia('(min-width: 56.25em) and (max-height: 47.5em)'); // both rows are to be in sight
const LOW = 10, HIGH = 55;            // dB-Hz
const AXIS = 24;

const full = () => (LOWER.matches ? 42 : 74);
const height = (ss) => full() * Math.min(1, Math.max(0.02, (ss - LOW) / (HIGH - LOW)));

const widthOf = (list) => list.reduce((sum, s) => sum + (s.number > 99 ? WIDE : BAR), 0);

// rowsOf breaks the constellations into rows of at most width, at the border of
// a constellation if one is near, inside it otherwise.
function rowsOf(groups, width) {
  const rows = [[]];
  let x = 0;
  for (const g of groups) {
    let rest = g.list;
    while (rest.length) {
      let fit = 0;
      while (fit < rest.length && x + widthOf(rest.slice(0, fit + 1)) <= width) fit++;
      const better = fit < rest.length && widthOf(rest) <= width && x > width / 2;
      if (x > 0 && (fit < Math.min(rest.length, 3) || better)) {
        rows.push([]);
        x = 0;
        continue;
      }
      const part = rest.slice(0, Math.max(1, fit));
      rows.at(-1).push({ ...g, list: part, x });
      x += widthOf(part) + GAP;
      rest = rest.slice(part.length);
    }
  }
  return rows;
}

export class Bars {
  constructor(host) {
    this.host = host;
    this.satellites = [];
    LOWER.addEventListener('change', () => this.render(this.satellites));
    new ResizeObserver(() => this.render(this.satellites)).observe(host);
  }

  render(satellites) {
    this.satellites = satellites;
    const width = Math.floor(this.host.clientWidth);
    if (width < 80) return;
    if (!satellites.length) {
      this.host.replaceChildren(element('p', { className: 'empty' }, 'No satellites reported yet.'));
      return;
    }
    const rows = rowsOf(groupsOf(satellites), width - AXIS);
    const tall = TOP + full() + FOOT;
    const root = svg('svg', { viewBox: `0 0 ${width} ${rows.length * tall}`, width, height: rows.length * tall, role: 'img',
      'aria-label': `Signal: ${satellites.map((s) => `${s.label} ${s.ss ?? 'none'}${s.used ? ' used' : ''}`).join(', ')}` });
    rows.forEach((row, i) => root.append(this.row(row, i * tall, width)));
    this.host.replaceChildren(root);
  }

  row(groups, top, width) {
    const base = top + TOP + full();
    const g = svg('g', {});
    for (const db of [20, 30, 40, 50]) {
      const y = base - height(db);
      g.append(svg('path', { d: `M${AXIS - 4} ${y}H${width}`, class: 'level' }));
      if (db % 20 === 0) g.append(svg('text', { x: AXIS - 7, y: y + 3, 'text-anchor': 'end', class: 'axis' }, db));
    }
    g.append(svg('path', { d: `M${AXIS - 4} ${base + 0.5}H${width}`, class: 'base' }));
    for (const group of groups) {
      let x = AXIS + group.x;
      const room = widthOf(group.list) + GAP;
      const title = room > 13 + group.name.length * 7 ? group.name : group.list[0].label.replace(/\d+$/, '');
      g.append(mark(group.shape, x + 5, top + 5.5, 4, 'kind'), svg('text', { x: x + 13, y: top + 9, class: 'group' }, title));
      for (const s of group.list) {
        const wide = widthOf([s]);
        g.append(this.bar(s, x + wide / 2, base));
        x += wide;
      }
    }
    return g;
  }

  bar(s, x, base) {
    const g = svg('g', { class: classOf(s) }, svg('title', {}, describe(s)));
    if (s.ss) {
      const h = height(s.ss);
      g.append(svg('rect', { x: x - BAR / 2 + 1.75, y: base - h, width: BAR - 3.5, height: h, rx: 1.5, class: 'mark' }),
        svg('text', { x, y: base - h - 3, 'text-anchor': 'middle', class: 'value' }, Math.round(s.ss)));
    }
    g.append(svg('text', { x, y: base + 11, 'text-anchor': 'middle', class: 'number' }, s.number));
    return g;
  }
}
