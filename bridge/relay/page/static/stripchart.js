// One chart: a line over time on a canvas.

import { isNumber } from './format.js';
import { step } from './mapdraw.js';
import { follows } from './model.js';

const LEFT = 34, RIGHT = 8, TOP = 8, BOTTOM = 16;
const NARROW = 3; // px: a narrower gap is drawn so wide, to be seen at all
const NAMES = ['card', 'line', 'muted', 'soft', 'trail', 'gap', 'accent', 'sans'];

export class StripChart {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext('2d');
    this.gaps = []; // [from, to] in seconds, as drawn last
    this.setTheme();
  }

  setTheme() {
    const style = getComputedStyle(this.canvas);
    this.colours = Object.fromEntries(NAMES.map((n) => [n, style.getPropertyValue(`--${n}`).trim()]));
  }

  // shareAt is where in the span a pixel is: 0 its beginning, 1 now.
  shareAt(x) { return (x - LEFT) / (this.canvas.clientWidth - LEFT - RIGHT); }

  // draw takes points {t, v, joined} in order of t; v is not a number where nothing
  // was reported. It returns what it drew.
  draw(points, { now, span, gap, least, floor, at }) {
    this.fitCanvas();
    const seen = points.filter((p) => isNumber(p.v));
    const low = Math.min(...seen.map((p) => p.v)), high = Math.max(...seen.map((p) => p.v));
    const newest = points.at(-1);
    const last = newest && now - newest.t <= gap && isNumber(newest.v) ? newest.v : NaN;
    this.gaps = isNumber(now) ? gapsOf(points, now, span, gap) : [];
    const found = { low, high, last, gaps: this.gaps, at: isNumber(at) ? nearest(points, now - at, gap) : NaN };
    const axis = axisOf(seen.length ? low : 0, seen.length ? high : 0, least, floor);
    const w = this.width - LEFT - RIGHT, h = this.height - TOP - BOTTOM;
    if (w < 20 || h < 10) return found;
    const x = (t) => LEFT + w * (1 - (now - t) / span), y = (v) => TOP + h * (1 - (v - axis.from) / (axis.to - axis.from));
    const c = this.context;
    c.clearRect(0, 0, this.width, this.height);
    c.font = '10.5px ' + this.colours.sans;
    this.drawGaps(c, x, h);
    this.drawAxes(c, axis, y, w, span);
    if (seen.length) this.drawLine(c, points, x, y, gap);
    if (isNumber(at)) this.drawCursor(c, x(now - at), h);
    return found;
  }

  fitCanvas() {
    const ratio = devicePixelRatio || 1;
    const [w, h] = [this.canvas.clientWidth, this.canvas.clientHeight];
    if (w === this.width && h === this.height && ratio === this.ratio) return;
    Object.assign(this, { width: w, height: h, ratio });
    this.canvas.width = Math.round(w * ratio);
    this.canvas.height = Math.round(h * ratio);
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
  }

  drawGaps(c, x, h) {
    c.fillStyle = this.colours.gap;
    c.textAlign = 'center';
    for (const [from, to] of this.gaps) {
      const left = Math.max(LEFT, x(from)), right = Math.min(this.width - RIGHT, Math.max(x(to), left + NARROW));
      if (right <= left) continue;
      c.fillRect(left, TOP, right - left, h);
      if (right - left < 46) continue;
      c.fillStyle = this.colours.muted;
      c.fillText('no data', (left + right) / 2, TOP + h / 2 + 4);
      c.fillStyle = this.colours.gap;
    }
  }

  drawAxes(c, axis, y, w, span) {
    c.strokeStyle = this.colours.line;
    c.fillStyle = this.colours.muted;
    c.lineWidth = 1;
    c.textAlign = 'right';
    for (let v = axis.from; v <= axis.to + axis.step / 2; v += axis.step) {
      const at = Math.round(y(v)) + 0.5;
      c.beginPath();
      c.moveTo(LEFT, at);
      c.lineTo(LEFT + w, at);
      c.stroke();
      c.fillText(String(Number(v.toFixed(1))).replace('-', '−'), LEFT - 6, at + 3.5);
    }
    const many = w > 300 ? 4 : 2, [unit, name] = span > 7200 ? [3600, 'h'] : [60, 'min'];
    for (let i = 0; i <= many; i++) {
      const back = span / unit * (1 - i / many);
      c.textAlign = i === 0 ? 'left' : i === many ? 'right' : 'center';
      c.fillText(back ? `−${Number(back.toFixed(1))} ${name}` : 'now', LEFT + w * i / many, this.height - 3);
    }
  }

  // drawLine lifts the pen where a value or the time between two is missing.
  drawLine(c, points, x, y, gap) {
    c.save();
    c.beginPath();
    c.rect(LEFT, 0, this.width - LEFT - RIGHT + 2, this.height);
    c.clip();
    c.strokeStyle = c.fillStyle = this.colours.trail;
    c.lineWidth = 1.8;
    c.lineJoin = 'round';
    c.beginPath();
    let before, lone;
    for (const p of points) {
      if (!isNumber(p.v)) { before = undefined; continue; }
      if (before && follows(before, p, gap)) { c.lineTo(x(p.t), y(p.v)); lone = undefined; } else {
        if (lone) dot(c, x(lone.t), y(lone.v));
        c.moveTo(x(p.t), y(p.v));
        lone = p;
      }
      before = p;
    }
    if (lone) dot(c, x(lone.t), y(lone.v));
    c.stroke();
    c.restore();
  }

  drawCursor(c, x, h) {
    c.strokeStyle = this.colours.soft;
    c.lineWidth = 1;
    c.beginPath();
    c.moveTo(Math.round(x) + 0.5, TOP);
    c.lineTo(Math.round(x) + 0.5, TOP + h);
    c.stroke();
  }
}

// dot shows a fix between two gaps, which a line cannot.
const dot = (c, x, y) => c.fillRect(x - 1.5, y - 1.5, 3, 3);

// gapsOf lists the times without a value between the first point and now.
function gapsOf(points, now, span, gap) {
  const gaps = [], begin = now - span;
  let last; // the last point with a value; the first without one where none had
  const close = (p) => { if (last && p.t > begin && !follows(last, p, gap)) gaps.push([Math.max(last.t, begin), p.t]); };
  for (const p of points) {
    if (!isNumber(p.v)) { last ??= p; continue; }
    close(p);
    last = p;
  }
  close({ t: now });
  return gaps;
}

// nearest is the value at a time: of the nearest point, where the line is.
function nearest(points, t, gap) {
  let i = points.findIndex((p) => p.t >= t);
  if (i < 0) i = points.length;
  const [before, after] = [points[i - 1], points[i]];
  const best = !before || (after && after.t - t < t - before.t) ? after : before;
  const on = before && after && follows(before, after, gap);
  return best && (on || Math.abs(best.t - t) <= gap) && isNumber(best.v) ? best.v : NaN;
}

// axisOf rounds low and high to at most four steps of 1, 2 or 5.
function axisOf(low, high, least, floor) {
  const middle = (low + high) / 2, half = Math.max(high - low, least) / 2;
  let from = middle - half, to = middle + half;
  if (floor !== undefined && from < floor) { to = Math.max(high, to - from + floor); from = floor; }
  const s = step((to - from) / 3);
  from = Math.floor(from / s + 1e-9) * s;
  to = Math.max(from + s, Math.ceil(to / s - 1e-9) * s);
  return { from, to, step: s };
}
