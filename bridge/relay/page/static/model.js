// What is known of the vehicle, from the messages alone: the newest fix and how
// old it is, the mode and for how long, the trail, the satellites.

import { isNumber } from './format.js';

const TRAIL = 7200;   // points: two hours at 1 Hz
const STALE = 3;      // seconds, or as many epochs
const DAY = 86400;

export class Model {
  constructor() {
    this.fix = null;        // newest TPV
    this.heardAt = 0;       // performance.now() at which it was true
    this.position = null;   // newest TPV with a position
    this.positionTime = 0;
    this.sky = null;
    this.skyAt = 0;
    this.mode = '';
    this.modeFrom = 0;      // in fix time
    this.modeWhole = false; // the change itself was seen
    this.trail = [];        // {t, lat, lon, speed}, in the order of t
    this.keys = new Set();  // of what is in the trail, without repeats
    this.steps = [];        // last intervals between fixes, seconds
    this.version = 0;       // counts changes of the trail
    this.doubles = 0;
  }

  // take adds one message that arrived just now.
  take(m, now = performance.now()) {
    if (m === null || typeof m !== 'object') return;
    if (m.class === 'SKY') { this.sky = m; this.skyAt = now; }
    if (m.class !== 'TPV') return;
    const key = keyOf(m);
    if (this.keys.has(key)) { this.doubles++; return; }
    this.keys.add(key);
    const t = this.timeOf(m, now);
    if (isNumber(m.lat) && isNumber(m.lon) && m.mode >= 2) this.addPoint({ t, lat: m.lat, lon: m.lon, speed: m.speed, key });
    else if (this.keys.size > 4 * TRAIL) this.keys = new Set(this.trail.map((p) => p.key));
    if (this.fix && !isNewer(m, t, this.fix, this.fixTime)) return;
    this.newFix(m, t, now);
  }

  newFix(m, t, now) {
    const step = t - this.fixTime;
    if (this.fix && step > 0 && step < 30) {
      this.steps.push(step);
      if (this.steps.length > 9) this.steps.shift();
    }
    const mode = modeOf(m).word;
    if (mode !== this.mode) {
      this.modeWhole = this.fix !== null;
      this.mode = mode;
      this.modeFrom = t;
    }
    this.fix = m;
    this.fixTime = t;
    this.heardAt = now;
    // A message of a backlog was true when it was made, not now. Only here the
    // clock of this browser is asked, and only if it can be right.
    const late = Date.now() / 1000 - t;
    if (m.backlog && late > 0 && late < 30 * DAY) this.heardAt = now - late * 1000;
    if (isNumber(m.lat) && m.mode >= 2) {
      this.position = m;
      this.positionTime = t;
    }
  }

  addPoint(p) {
    const last = this.trail.at(-1);
    if (!last || p.t >= last.t) this.trail.push(p);
    else this.trail.splice(this.trail.findLastIndex((q) => q.t <= p.t) + 1, 0, p);
    while (this.trail.length > TRAIL) this.keys.delete(this.trail.shift().key);
    this.version++;
  }

  // correct moves the last fix into the past: the server says it is `age`
  // seconds old, and nothing arrived since the server was asked.
  correct(age, askedAt, now = performance.now()) {
    if (!this.fix || this.heardAt > askedAt) return;
    const was = now - age * 1000;
    if (was >= this.heardAt - 300) return; // within the time an answer takes
    this.heardAt = was;
  }

  // age is seconds since the last TPV, with a position or without.
  age(now = performance.now()) {
    return this.fix ? Math.max(0, now - this.heardAt) / 1000 : NaN;
  }

  // positionAge is seconds since the last TPV with a position.
  positionAge(now = performance.now()) {
    return this.position ? this.age(now) + Math.max(0, this.fixTime - this.positionTime) : NaN;
  }

  // timeOf is the receiver's time in seconds. While it has none it is counted on
  // from the last one, or from this browser's if there was never any.
  timeOf(m, now) {
    const t = Date.parse(m.time) / 1000;
    if (isNumber(t)) return t;
    return this.fix ? this.fixTime + (now - this.heardAt) / 1000 : (performance.timeOrigin + now) / 1000;
  }

  // modeFor is seconds in the present mode; at least that if the change to it
  // was before the first message.
  modeFor(now) {
    return this.fix ? this.fixTime - this.modeFrom + this.age(now) : NaN;
  }

  // epoch is the usual interval between fixes in seconds.
  get epoch() {
    if (!this.steps.length) return 1;
    return [...this.steps].sort((a, b) => a - b)[this.steps.length >> 1];
  }

  get staleAfter() { return Math.max(STALE, STALE * this.epoch); }

  get used() { return this.fix?.uSat ?? this.sky?.uSat ?? this.sky?.satellites?.filter((s) => s.used).length; }

  get seen() { return this.fix?.nSat ?? this.sky?.nSat ?? this.sky?.satellites?.length; }
}

// keyOf identifies a message for ever; one without (run, seq) by its content.
const keyOf = (m) => (m.run && m.seq ? `${m.run}:${m.seq}` : `${m.time}:${m.lat}:${m.lon}:${m.mode}`);

function isNewer(m, t, last, lastTime) {
  if (m.run && m.run === last.run) return m.seq > last.seq;
  return !m.backlog || t > lastTime;
}

const STATUS = { 2: 'DGPS', 3: 'RTK', 4: 'RTK float', 5: 'DR', 6: 'DR', 7: 'survey', 8: 'SIM' };

// modeOf gives the word for the strip and whether there is a position.
export function modeOf(m) {
  if (!m || !(m.mode >= 2)) return { word: 'NO FIX', fix: false };
  const dimensions = m.mode === 2 ? '2D' : '3D';
  return { word: STATUS[m.status] ? `${STATUS[m.status]} ${dimensions}` : dimensions, fix: true };
}

// conditionOf is the one word for how far the page can be believed, and why.
// reason is what the chain says is wrong.
export function conditionOf(model, feed, reason, now = performance.now()) {
  const age = model.age(now);
  if (feed.state !== 'open') {
    const wait = Math.max(0, (feed.retryAt - now) / 1000);
    const next = feed.state === 'waiting' && wait >= 1 ? `trying again in ${wait.toFixed(0)} s` : 'trying again now';
    if (!feed.opened && feed.state === 'connecting') return { kind: 'waiting', title: 'Connecting', text: reason };
    return { kind: 'down', title: 'Not connected', text: `${reason ? `${reason}; ` : ''}${next}` };
  }
  if (!model.fix) return { kind: 'waiting', title: 'Waiting for the first message', text: reason || 'connected; nothing has come yet' };
  if (age > model.staleAfter) return { kind: 'stale', title: 'Stale', text: reason || `connected, but nothing new since the fix of ${clock(model.fixTime)}` };
  if (!modeOf(model.fix).fix) {
    const seen = model.seen, used = model.used;
    const sight = isNumber(seen) ? `the receiver sees ${seen} satellite${seen === 1 ? '' : 's'}${isNumber(used) ? ` and uses ${used}` : ''}` : 'the receiver runs but knows no position';
    return { kind: 'nofix', title: 'No fix', text: `${sight}${model.position ? '; the position shown is the last one' : ''}` };
  }
  return { kind: 'live', title: 'Live', text: '' };
}

const clock = (t) => `${new Date(t * 1000).toISOString().slice(11, 19)} UTC`;
