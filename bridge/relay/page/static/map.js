// The map that is always there: a metre grid, range rings, the trail, the vehicle.
//
// What a map is to the page (a generated /dist/map.js exports the same class):
//
//   new MapView(container, on)    fills container, an element with a size.
//                                 on.follow(bool), on.mode(text): the user changed it with
//                                 the pointer. A generated map also gets on.basemap (address
//                                 of a .pmtiles or ''), on.token (for its Authorization header)
//                                 and on.failed() to call when it cannot go on; on.credit(text)
//                                 takes the words that a base map's licence asks for;
//                                 on.bearing(degrees) is called while the map turns, and
//                                 on.pick(point) when the user taps: what setTrail or setFleet
//                                 gave that is near, or null
//   setFix(fix, {stale})          {lat, lon, track, speed, eph}; m/s, degrees, metres; track,
//                                 speed and eph may be absent
//   setTrail(points)              oldest first: {lat, lon, state, hole}; state is none, sent or
//                                 kept; hole: the way from the point before is not known
//   addPoint(point)               one more at the end
//   fit()                         shows the trail near the vehicle, until the user zooms
//   setMode('north' | 'heading')  what is up; heading-up holds the last heading while standing
//   setFollow(bool)               keeps the vehicle in sight, or all vehicles of a fleet
//   setFleet(vehicles)            in place of setFix and setTrail: {name, lat, lon, track, speed,
//                                 silent, trail: [{lat, lon}]}, each drawn with its name
//   mark(point, words)            marks a point of the trail with words, or none (null)
//   showAll()                     shows the whole trail and ends following, or the whole fleet
//   zoomBy(factor), panBy(x, y)   in pixels; panBy ends following
//   resize(), setTheme()          the container or the colours changed
//   destroy()                     frees everything and leaves container empty
//   mode, following, bearing      what is now; bearing in degrees is up on the screen
//
// Nothing but these members is used by others. The generated map is this one with
// streets under it (../src/map.js): it has its own plane and ground.

import { LocalFrame } from './projection.js';
import { STANDING, readColours, draw } from './mapdraw.js';
import { listen } from './mapinput.js';

const NEAR = 40, FAR = 0.00002; // pixels a metre: 1 m is 40 px; the earth is 800 px
const REORIGIN = 60000;        // metres from the origin at which a new one is taken
const CLOSE = 0.8, MARGIN = 150; // pixels a metre at most, and px for names, where everything is shown
const FINGER = 24;             // px from a tap within which something is meant
const POINTS = 20000;          // of the trail; the page keeps fewer
const TURN = 0.18;             // share of the way to the new bearing in a frame

export class MapView {
  constructor(container, on = {}) {
    this.container = container;
    this.on = on;
    this.canvas = document.createElement('canvas');
    container.append(this.canvas);
    this.context = this.canvas.getContext('2d');
    this.k = 0.8;           // pixels a metre
    this.centre = [0, 0];   // metres from the origin
    this.following = true;
    this.mode = 'north';
    this.bearing = this.heading = 0;
    this.chosen = false;    // the user chose the scale
    this.points = [];
    this.fleet = null;      // vehicles in place of one vehicle and its trail
    this.marked = null;     // {point, words, at}
    this.calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
    this.setTheme();
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(container);
    this.ended = new AbortController();
    listen(this, this.ended.signal);
  }

  destroy() {
    this.ended.abort();
    this.observer.disconnect();
    cancelAnimationFrame(this.pending);
    this.canvas.remove();
  }

  setTheme() {
    this.colours = readColours(this.container);
    this.dirty();
  }

  resize() {
    const box = this.container.getBoundingClientRect(), ratio = devicePixelRatio || 1;
    const first = !this.width;
    this.width = box.width;
    this.height = box.height;
    this.canvas.width = Math.round(box.width * ratio);
    this.canvas.height = Math.round(box.height * ratio);
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    if (!this.width) return;
    if (first) this.fleet ? this.showAll() : this.fit(); // what came before there was a size
    draw(this); // at once: a resized canvas is empty
  }

  setFix(fix, { stale }) {
    this.stale = stale;
    this.fix = fix;
    const moved = this.frame?.project(fix);
    if (!moved || Math.hypot(...moved) > REORIGIN) this.newFrame(fix);
    this.vehicle = this.frame.project(fix);
    this.moving = Number.isFinite(fix.track) && !(fix.speed < STANDING);
    if (this.moving) this.heading = fix.track;
    if (this.following) this.centre = this.vehicle;
    this.dirty();
  }

  newFrame(place) {
    const moved = this.frame?.project(place);
    this.frame = this.plane(place);
    for (const p of this.points) p.at = this.frame.project(p);
    if (this.marked) this.marked.at = this.frame.project(this.marked.point);
    if (moved) this.centre = [this.centre[0] - moved[0], this.centre[1] - moved[1]];
  }

  // plane is where the metres of the map lie, around a place.
  plane(place) { return new LocalFrame(place); }

  // ground draws what is under everything and reports whether it wants the grid.
  ground() {
    this.context.fillStyle = this.colours.map;
    this.context.fillRect(0, 0, this.width, this.height);
    return true;
  }

  setTrail(points) {
    if (!this.frame && points.length) this.newFrame(points.at(-1));
    this.points = points.map((p) => ({ ...p, at: this.frame.project(p) }));
    this.dirty();
  }

  addPoint(point) {
    if (!this.frame) this.newFrame(point);
    this.points.push({ ...point, at: this.frame.project(point) });
    if (this.points.length > POINTS) this.points.splice(0, POINTS / 10);
    this.dirty();
  }

  setFleet(vehicles) {
    if (!this.frame && vehicles.length) this.newFrame(vehicles[0]);
    const placed = (p) => ({ ...p, at: this.frame.project(p) });
    this.fleet = vehicles.map((v) => ({ ...placed(v), trail: v.trail.map(placed) }));
    if (this.following && !this.chosen && this.width && this.fleet.some((v) => !this.sees(v.at))) this.showAll();
    this.dirty();
  }

  sees(at) {
    const [x, y] = this.screen(at);
    return x >= 0 && x <= this.width && y >= 0 && y <= this.height;
  }

  showAll() {
    const all = (this.fleet ?? this.points).map((p) => p.at);
    if (!this.fleet) this.setFollow(false);
    if (!all.length || !this.width) return;
    // A trail has too many points for the arguments of Math.min.
    const [low, high] = [Math.min, Math.max].map((f) => all.reduce((a, b) => [f(a[0], b[0]), f(a[1], b[1])]));
    this.centre = [(low[0] + high[0]) / 2, (low[1] + high[1]) / 2];
    this.k = Math.min(CLOSE, Math.max(FAR, Math.min((this.width - MARGIN) / (high[0] - low[0]), (this.height - MARGIN) / (high[1] - low[1]))));
    this.dirty();
  }

  mark(point, words) {
    this.marked = point && { point, words, at: this.frame.project(point) };
    this.dirty();
  }

  tap(x, y) {
    let best = null, least = FINGER;
    for (const p of this.fleet ?? this.points) {
      const [px, py] = this.screen(p.at), d = Math.hypot(px - x, py - y);
      if (d <= least) { best = p; least = d; }
    }
    this.on.pick?.(best);
  }

  // fit takes the trail as far as 800 m around the vehicle.
  fit() {
    if (this.chosen || !this.width || !this.vehicle) return;
    let r = 60;
    for (const { at } of this.points) {
      const d = Math.hypot(at[0] - this.vehicle[0], at[1] - this.vehicle[1]);
      if (d < 800) r = Math.max(r, d);
    }
    this.k = Math.min(this.width, this.height) * 0.42 / r;
    this.dirty();
  }

  setMode(mode) {
    this.mode = mode;
    this.on.mode?.(mode);
    this.dirty();
  }

  setFollow(on) {
    if (on && this.vehicle) this.centre = this.vehicle;
    if (on && this.fleet) { this.chosen = false; this.showAll(); }
    if (on !== this.following) { this.following = on; this.on.follow?.(on); }
    this.dirty();
  }

  // zoomBy keeps the point (x, y) of the screen where it is; while following,
  // the vehicle.
  zoomBy(factor, x = this.width / 2, y = this.anchor()) {
    const k = Math.min(NEAR, Math.max(FAR, this.k * factor));
    if (!this.following) {
      const [east, north] = this.turned(x - this.width / 2, y - this.anchor());
      this.centre = [this.centre[0] + east / this.k - east / k, this.centre[1] + north / this.k - north / k];
    }
    this.k = k;
    this.chosen = true;
    this.dirty();
  }

  panBy(x, y) {
    this.setFollow(false);
    const [east, north] = this.turned(x, y);
    this.centre = [this.centre[0] - east / this.k, this.centre[1] - north / this.k];
    this.dirty();
  }

  // anchor is the height at which the centre is drawn: with the heading up there
  // is more room ahead than to the rear.
  anchor() { return this.height * (this.mode === 'heading' && this.following ? 0.66 : 0.5); }

  // turned gives what is right and down on the screen as east and north.
  turned(x, y) {
    const s = Math.sin(this.bearing * Math.PI / 180), c = Math.cos(this.bearing * Math.PI / 180);
    return [x * c - y * s, -x * s - y * c];
  }

  // screen gives the pixel of metres east and north of the origin.
  screen([east, north]) {
    const s = this.sine, c = this.cosine, x = east - this.centre[0], y = north - this.centre[1];
    return [this.width / 2 + (x * c - y * s) * this.k, this.anchor() - (x * s + y * c) * this.k];
  }

  // dirty draws with the next frame, and goes on while the map turns.
  dirty() {
    if (this.pending) return;
    this.pending = requestAnimationFrame(() => {
      this.pending = 0;
      if (!this.width) return;
      if (this.turn()) this.dirty();
      draw(this);
    });
  }

  // turn moves the bearing towards its target. A jump once a second
  // would be hard on the eye.
  turn() {
    const to = this.mode === 'heading' ? this.heading : 0;
    const rest = ((to - this.bearing + 540) % 360 + 360) % 360 - 180;
    const there = Math.abs(rest) < 0.2 || this.calm;
    this.bearing = there ? to : this.bearing + rest * TURN;
    this.on.bearing?.(this.bearing);
    return !there;
  }
}
