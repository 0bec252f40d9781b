// The map without a map: a metre grid, the trail, the vehicle. North is up.
// Positions are metres east and north of an origin near the vehicle; over the
// tens of kilometres of a trail the error of that stays below a pixel.

import { isNumber, metres } from './format.js';

const NEAR = 40, FAR = 0.0008; // pixels a metre: 1 m is 40 px; 500 km are 400 px
const REORIGIN = 60000;        // metres from the origin at which a new one is taken
const WGS84_A = 6378137, WGS84_E2 = 0.00669437999014;

// step is the nearest 1, 2 or 5 times a power of ten that is at least v.
function step(v) {
  const p = 10 ** Math.floor(Math.log10(v));
  return [1, 2, 5, 10].find((n) => n * p >= v * 0.999) * p;
}

// rgb takes a colour as the style sheet writes it, #rrggbb, apart.
const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));

export class TrailMap {
  constructor(canvas, changed) {
    this.canvas = canvas;
    this.context = canvas.getContext('2d');
    this.changed = changed; // follow was switched
    this.k = 0.8;           // pixels a metre
    this.centre = [0, 0];
    this.following = true;
    this.chosen = false;    // somebody chose the scale
    this.points = [];
    this.pointers = new Map();
    this.colours();
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => { this.colours(); this.dirty(); });
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.listen();
  }

  colours() {
    const style = getComputedStyle(document.documentElement);
    this.colour = (name) => style.getPropertyValue(`--${name}`).trim();
  }

  resize() {
    const box = this.canvas.getBoundingClientRect(), ratio = devicePixelRatio || 1;
    this.width = box.width;
    this.height = box.height;
    this.canvas.width = Math.round(box.width * ratio);
    this.canvas.height = Math.round(box.height * ratio);
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.draw();
  }

  // show takes the model's trail and position; the next frame draws them. With
  // fit the scale follows the trail, as long as nobody chose another.
  show(model, { stale, epoch, fit }) {
    const p = model.position;
    this.stale = stale;
    this.gap = Math.max(10, 5 * epoch);
    if (p) {
      if (!this.origin || Math.hypot(...this.project(p)) > REORIGIN) this.newOrigin(p);
      this.vehicle = this.project(p);
      this.fix = p;
      if (this.version !== model.version) {
        this.points = model.trail.map((q) => ({ t: q.t, at: this.project(q) }));
        this.version = model.version;
      }
      if (fit && !this.chosen && this.width) this.fit();
      if (this.following) this.centre = this.vehicle;
    }
    this.dirty();
  }

  newOrigin(p) {
    const moved = this.origin && this.project(p);
    const s = Math.sin(p.lat * Math.PI / 180), w = Math.sqrt(1 - WGS84_E2 * s * s);
    this.origin = p;
    this.perLat = Math.PI / 180 * WGS84_A * (1 - WGS84_E2) / (w * w * w);
    this.perLon = Math.PI / 180 * WGS84_A / w * Math.cos(p.lat * Math.PI / 180);
    this.version = -1;
    if (moved) this.centre = [this.centre[0] - moved[0], this.centre[1] - moved[1]];
  }

  project(p) {
    const east = ((p.lon - this.origin.lon + 540) % 360 + 360) % 360 - 180;
    return [east * this.perLon, (p.lat - this.origin.lat) * this.perLat];
  }

  // fit chooses the first scale: the trail as far as 800 m around the vehicle.
  fit() {
    let r = 60;
    for (const { at } of this.points) {
      const d = Math.hypot(at[0] - this.vehicle[0], at[1] - this.vehicle[1]);
      if (d < 800) r = Math.max(r, d);
    }
    this.k = Math.min(this.width, this.height) * 0.42 / r;
  }

  screen([x, y]) {
    return [this.width / 2 + (x - this.centre[0]) * this.k, this.height / 2 - (y - this.centre[1]) * this.k];
  }

  dirty() {
    if (this.pending) return;
    this.pending = requestAnimationFrame(() => { this.pending = 0; this.draw(); });
  }

  draw() {
    const c = this.context;
    if (!this.width) return;
    c.fillStyle = this.colour('map');
    c.fillRect(0, 0, this.width, this.height);
    const grid = step(72 / this.k);
    this.drawGrid(c, grid);
    if (this.vehicle) {
      this.drawRings(c);
      this.drawTrail(c);
      this.drawVehicle(c);
    }
    this.drawScale(c, grid);
  }

  drawGrid(c, grid) {
    const [x0, y0] = [this.centre[0] - this.width / 2 / this.k, this.centre[1] - this.height / 2 / this.k];
    const [x1, y1] = [x0 + this.width / this.k, y0 + this.height / this.k];
    for (const major of [false, true]) {
      c.beginPath();
      for (let i = Math.ceil(x0 / grid); i * grid <= x1; i++) {
        if ((i % 5 === 0) !== major) continue;
        const x = Math.round((i * grid - x0) * this.k) + 0.5;
        c.moveTo(x, 0);
        c.lineTo(x, this.height);
      }
      for (let i = Math.ceil(y0 / grid); i * grid <= y1; i++) {
        if ((i % 5 === 0) !== major) continue;
        const y = Math.round(this.height - (i * grid - y0) * this.k) + 0.5;
        c.moveTo(0, y);
        c.lineTo(this.width, y);
      }
      c.strokeStyle = this.colour(major ? 'grid-major' : 'grid');
      c.lineWidth = 1;
      c.stroke();
    }
  }

  drawRings(c) {
    const [x, y] = this.screen(this.vehicle);
    const ring = step(Math.min(this.width, this.height) * 0.16 / this.k);
    c.strokeStyle = this.colour('ring');
    c.fillStyle = this.colour('muted');
    c.font = '11px ' + this.colour('sans');
    c.textAlign = 'center';
    c.setLineDash([2, 4]);
    for (let i = 1; i <= 3; i++) {
      const r = i * ring * this.k;
      c.beginPath();
      c.arc(x, y, r, 0, 2 * Math.PI);
      c.stroke();
      const [tx, ty] = [x - r * Math.SQRT1_2, y + r * Math.SQRT1_2 + 4];
      if (tx > 150 || ty < this.height - 48) this.text(c, metres(i * ring), tx, ty); // not on the scale bar
    }
    c.setLineDash([]);
  }

  // text writes on the map so that no line crosses the letters.
  text(c, text, x, y) {
    c.save();
    c.setLineDash([]);
    c.strokeStyle = this.colour('map');
    c.lineWidth = 4;
    c.lineJoin = 'round';
    c.strokeText(text, x, y);
    c.restore();
    c.fillText(text, x, y);
  }

  // drawTrail fades the trail towards its beginning; where fixes are missing
  // the line is dashed: nobody knows the way between.
  drawTrail(c) {
    const n = this.points.length;
    if (n < 2) return;
    c.lineCap = c.lineJoin = 'round';
    const near = rgb(this.colour(this.stale ? 'muted' : 'trail')), far = rgb(this.colour('map'));
    const chunk = Math.max(8, Math.ceil(n / 40));
    for (let from = 0; from < n - 1; from += chunk) {
      const to = Math.min(n - 1, from + chunk);
      // Mixed, not transparent: where two parts meet transparency would show.
      const k = 0.22 + 0.78 * ((to / (n - 1)) ** 1.5);
      c.strokeStyle = `rgb(${near.map((v, i) => Math.round(v * k + far[i] * (1 - k))).join()})`;
      this.drawPart(c, from, to);
    }
  }

  drawPart(c, from, to) {
    const holes = [];
    c.beginPath();
    c.moveTo(...this.screen(this.points[from].at));
    for (let i = from + 1; i <= to; i++) {
      const p = this.points[i], q = this.points[i - 1];
      if (p.t - q.t > this.gap) {
        holes.push([q, p]);
        c.moveTo(...this.screen(p.at));
      } else c.lineTo(...this.screen(p.at));
    }
    c.lineWidth = 3.5;
    c.stroke();
    c.setLineDash([1, 7]);
    c.lineWidth = 2;
    for (const [q, p] of holes) {
      c.beginPath();
      c.moveTo(...this.screen(q.at));
      c.lineTo(...this.screen(p.at));
      c.stroke();
    }
    c.setLineDash([]);
  }

  drawVehicle(c) {
    const [x, y] = this.screen(this.vehicle);
    const colour = this.colour(this.stale ? 'muted' : 'accent');
    const r = isNumber(this.fix.eph) ? this.fix.eph * this.k : 0;
    if (r > 3) {
      c.beginPath();
      c.arc(x, y, r, 0, 2 * Math.PI);
      c.fillStyle = c.strokeStyle = colour;
      c.globalAlpha = 0.12;
      c.fill();
      c.globalAlpha = 0.55;
      c.lineWidth = 1.2;
      c.stroke();
      c.globalAlpha = 1;
    }
    c.save();
    c.translate(x, y);
    c.fillStyle = colour;
    c.strokeStyle = this.colour('map');
    c.lineWidth = 2.5;
    c.lineJoin = 'round';
    c.beginPath();
    // Without a speed the heading is noise: a dot claims no direction.
    if (isNumber(this.fix.track) && !(this.fix.speed < 0.55)) {
      c.rotate(this.fix.track * Math.PI / 180);
      c.moveTo(0, -17);
      c.lineTo(11.5, 13);
      c.lineTo(0, 6.5);
      c.lineTo(-11.5, 13);
      c.closePath();
    } else c.arc(0, 0, 8, 0, 2 * Math.PI);
    c.stroke();
    c.fill();
    c.restore();
  }

  drawScale(c, grid) {
    const w = grid * this.k, x = 16, y = this.height - 16;
    c.strokeStyle = c.fillStyle = this.colour('ink');
    c.lineWidth = 1.5;
    c.lineCap = 'butt';
    c.beginPath();
    c.moveTo(x, y - 5);
    c.lineTo(x, y);
    c.lineTo(x + w, y);
    c.lineTo(x + w, y - 5);
    c.stroke();
    c.font = '12px ' + this.colour('sans');
    c.textAlign = 'left';
    this.text(c, metres(grid), x + 1, y - 9);
  }

  // zoom changes the scale by factor and keeps the point (x, y) of the screen
  // where it is; while following, the vehicle.
  zoom(factor, x = this.width / 2, y = this.height / 2) {
    const k = Math.min(NEAR, Math.max(FAR, this.k * factor));
    if (!this.following) {
      const dx = x - this.width / 2, dy = this.height / 2 - y;
      this.centre = [this.centre[0] + dx / this.k - dx / k, this.centre[1] + dy / this.k - dy / k];
    }
    this.k = k;
    this.chosen = true;
    this.dirty();
  }

  pan(dx, dy) {
    this.follow(false);
    this.centre = [this.centre[0] - dx / this.k, this.centre[1] + dy / this.k];
    this.dirty();
  }

  follow(on) {
    if (on && this.vehicle) this.centre = this.vehicle;
    if (on !== this.following) { this.following = on; this.changed(on); }
    this.dirty();
  }

  listen() {
    const c = this.canvas;
    c.addEventListener('wheel', (e) => {
      e.preventDefault();
      this.zoom(2 ** (-e.deltaY / (e.deltaMode === 1 ? 8 : 240)), e.offsetX, e.offsetY);
    }, { passive: false });
    c.addEventListener('pointerdown', (e) => { c.setPointerCapture(e.pointerId); this.pointers.set(e.pointerId, [e.offsetX, e.offsetY]); });
    for (const end of ['pointerup', 'pointercancel']) c.addEventListener(end, (e) => this.pointers.delete(e.pointerId));
    c.addEventListener('pointermove', (e) => this.drag(e));
    c.addEventListener('keydown', (e) => {
      const keys = { '+': () => this.zoom(1.4), '=': () => this.zoom(1.4), '-': () => this.zoom(1 / 1.4),
        f: () => this.follow(!this.following), F: () => this.follow(!this.following),
        ArrowLeft: () => this.pan(60, 0), ArrowRight: () => this.pan(-60, 0), ArrowUp: () => this.pan(0, 60), ArrowDown: () => this.pan(0, -60) };
      if (!(e.key in keys) || e.ctrlKey || e.metaKey || e.altKey) return;
      e.preventDefault();
      keys[e.key]();
    });
  }

  drag(e) {
    const was = this.pointers.get(e.pointerId);
    if (!was) return;
    const is = [e.offsetX, e.offsetY];
    if (this.pointers.size === 1) {
      // A finger that trembles while tapping does not end following.
      if (Math.hypot(is[0] - was[0], is[1] - was[1]) < 4 && this.following) return;
      this.pan(is[0] - was[0], is[1] - was[1]);
    } else {
      const other = [...this.pointers].find(([id]) => id !== e.pointerId)[1];
      const apart = (p) => Math.max(10, Math.hypot(p[0] - other[0], p[1] - other[1]));
      this.zoom(apart(is) / apart(was), (is[0] + other[0]) / 2, (is[1] + other[1]) / 2);
    }
    this.pointers.set(e.pointerId, is);
  }
}
