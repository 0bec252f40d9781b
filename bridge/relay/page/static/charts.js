// Speed, altitude and HDOP over the last minutes or hours, one under the other's time.
// Where fixes are missing there is a gap, shaded and counted: a line drawn
// through it would be an invention.

import { NONE, clock, element, fixed, isNumber, setText } from './format.js';
import { speedUnit } from './units.js';
import { StripChart } from './stripchart.js';

const SPANS = [[120, '2 min'], [600, '10 min'], [3600, '1 h'], [86400, '24 h']];

// What is charted: least is the smallest span of the axis, so that noise of a
// parked vehicle does not look like a journey.
const QUANTITIES = [
  { name: 'Speed', unit: () => speedUnit().name, of: (p) => p.speed * speedUnit().factor, least: 10, floor: 0, decimals: 0 },
  { name: 'Altitude', unit: () => 'm', of: (p) => p.altitude, least: 10, decimals: 0 },
  { name: 'HDOP', unit: () => '', of: (p) => p.hdop, least: 2, floor: 0, decimals: 1 },
];

export class Charts {
  constructor(host, spans, model) {
    Object.assign(this, { host, model, span: SPANS[0][0] });
    this.charts = QUANTITIES.map((q) => this.figure(q));
    this.choose(spans);
    this.point = null; // seconds before now under the pointer
    new ResizeObserver(() => this.draw()).observe(host);
    host.addEventListener('pointermove', (e) => this.hover(e));
    host.addEventListener('pointerleave', () => { this.point = null; this.draw(); });
  }

  figure(quantity) {
    const title = element('b', {}), value = element('span', { className: 'value' }), canvas = element('canvas', { role: 'img', ariaLabel: `${quantity.name}: no data` });
    this.host.append(element('figure', {}, element('figcaption', {}, title, value), canvas));
    return { quantity, title, value, canvas, chart: new StripChart(canvas) };
  }

  choose(host) {
    const buttons = SPANS.map(([seconds, words]) => {
      const b = element('button', {}, words);
      b.addEventListener('click', () => {
        this.span = seconds;
        mark();
        this.draw();
      });
      return b;
    });
    const mark = () => SPANS.forEach(([seconds], i) => buttons[i].setAttribute('aria-pressed', String(seconds === this.span)));
    mark();
    host.replaceChildren(...buttons);
  }

  setTheme() {
    for (const { chart } of this.charts) chart.setTheme();
    this.draw();
  }

  hover(e) {
    const canvas = e.target.closest('figure')?.querySelector('canvas');
    if (!canvas) return;
    const box = canvas.getBoundingClientRect();
    const share = this.charts[0].chart.shareAt(e.clientX - box.left);
    this.point = share < 0 || share > 1 ? null : (1 - share) * this.span;
    this.draw();
  }

  // moved draws what a new fix changes, unless it is too little to be seen at once.
  moved() { if (this.span < 3600) this.draw(); }

  // draw shows the last span seconds until now: the charts move on while
  // nothing comes.
  draw() {
    if (!this.host.offsetParent || !this.host.clientWidth) return; // another tab is shown
    const { model } = this;
    const now = model.fix ? model.fixTime + model.age() : NaN;
    const all = model.track;
    const begin = all.findLastIndex((p) => p.t < now - this.span);
    const points = all.slice(Math.max(0, begin));
    for (const { quantity: q, title, value, canvas, chart } of this.charts) {
      const list = points.map((p) => ({ t: p.t, v: q.of(p), joined: p.joined }));
      const stats = chart.draw(list, { now, span: this.span, gap: model.gap, least: q.least, floor: q.floor, at: this.point });
      const shown = this.point === null ? stats.last : stats.at;
      const unit = q.unit();
      setText(title, `${q.name}${unit && ` in ${unit}`}`);
      const when = this.point === null ? '' : ` · ${clock(now - this.point)}`;
      setText(value, `${isNumber(shown) ? fixed(shown, shown < 9.95 && q.decimals === 0 && q.name === 'Speed' ? 1 : q.decimals) : NONE}${when}`);
      const label = isNumber(stats.low) ? `${q.name}: ${fixed(stats.low, q.decimals)} to ${fixed(stats.high, q.decimals)} ${unit}, ${stats.gaps.length} gap${stats.gaps.length === 1 ? '' : 's'}` : `${q.name}: no data`;
      if (canvas.getAttribute('aria-label') !== label) canvas.setAttribute('aria-label', label);
    }
  }
}
