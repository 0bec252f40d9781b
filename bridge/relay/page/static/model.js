// What is known of the vehicle, from the messages alone: the newest fix and how
// old it is, the mode and for how long, the trail, the satellites.

import { isNumber } from './format.js';

const FULL = 6000;    // points of the track that stay while they are young: ten minutes at 10 Hz
const FRESH = 1000;   // points that are added until old ones are thinned again
const STALE = 3;      // seconds, or as many epochs
const DAY = 86400;
const BACK = 60, AHEAD = 300 * DAY; // seconds by which no fix precedes the one before, or follows it
const FAR = 1e7;      // numbers by which no fix is late: 11 days at 10 Hz. More, and the number before was wrong
const MIXED = 30;     // seconds after which a second sender is gone

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
    this.track = [];        // what every TPV stated, in the order of its time t; see pointOf
    this.keys = new Set();  // of what is in the track, without repeats
    this.steps = [];        // last intervals between fixes, seconds
    this.offset = 0;        // ms that the server's clock is ahead of this browser's
    this.slept = false;     // this machine did, for a time that was guessed
    this.run = '';          // of the newest fix that has one
    this.formerRun = '';    // the one before
    this.mixedAt = -Infinity; // when an earlier run was heard again beside the present one
    this.added = 0;         // points added at the end of the track
    this.changed = 0;       // other changes of it
    this.doubles = 0;
    this.room = FRESH;      // points of the track until it is thinned
  }

  // take adds one message, as plain gives it, that arrived just now.
  take(m, now = performance.now()) {
    if (m.class === 'SKY' && Array.isArray(m.satellites)) {
      this.sky = m;
      this.skyAt = now;
    }
    if (m.class !== 'TPV') return;
    if (!Number.isSafeInteger(m.seq) || m.seq < 1) delete m.seq;
    if (typeof m.run !== 'string') delete m.run;
    if (typeof m.time !== 'string') delete m.time;
    const key = keyOf(m);
    if (this.keys.has(key)) { this.doubles++; return; }
    this.keys.add(key);
    const t = this.timeOf(m, now);
    const newer = !this.fix || isNewer(m, t, this.fix, this.fixTime);
    if (newer && this.fix) this.checkDate(t);
    this.addPoint(pointOf(m, t, key));
    if (newer) this.newFix(m, t, now);
  }

  // checkDate starts over where the receiver has corrected its date, or a
  // recording starts over: the times so far belong to another calendar.
  checkDate(t) {
    const step = t - this.fixTime;
    if (step > -BACK && step < AHEAD) return;
    this.track = [];
    this.changed++;
    this.modeFrom = t;
    this.modeWhole = false;
  }

  newFix(m, t, now) {
    const step = t - this.fixTime;
    if (m.run && m.run !== this.run) { // a fix for viewers alone has none
      if (m.run === this.formerRun) this.mixedAt = now;
      this.formerRun = this.run;
      this.run = m.run;
    }
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
    this.slept = false;
    // A message of a backlog was true when it was made, not now. Only here a clock
    // is asked, the server's as far as it is known, and only if it can be right.
    const late = (Date.now() + this.offset) / 1000 - t;
    if (m.backlog && late > 0 && late < 30 * DAY) this.heardAt = now - late * 1000;
    if (hasPosition(m)) {
      this.position = m;
      this.positionTime = t;
    }
  }

  addPoint(p) {
    const last = this.track.at(-1);
    if (!last || p.t >= last.t) {
      this.track.push(p);
      this.added++;
    } else {
      this.track.splice(this.track.findLastIndex((q) => q.t <= p.t) + 1, 0, p);
      this.changed++;
    }
    if (this.track.length > this.room) this.thin();
  }

  // addDay adds points of earlier, as pointsOf gives them. What is there already
  // has the same time.
  addDay(points) {
    const known = new Set(this.track.map((p) => p.t)), newest = this.track.at(-1).t;
    const earlier = points.filter((p) => p.t < newest && !known.has(p.t)); // what is newer is on its way
    this.track = [...earlier, ...this.track].sort((a, b) => a.t - b.t);
    this.thin();
  }

  // thin leaves of what is older than ten minutes a point for each 2 s, after an
  // hour one for each 10 s, and of what is older than a day nothing, as the daemon
  // does. A point is joined where the way to it is known all the way from the one
  // before that stays.
  thin() {
    const { track, gap } = this, newest = track.at(-1).t, kept = [];
    let before, joined = true;
    track.forEach((p, i) => {
      joined = joined && before?.lat !== undefined && p.lat !== undefined && follows(before, p, gap);
      before = p;
      const age = newest - p.t, step = age < 600 && i >= track.length - FULL ? 0 : age < 3600 ? 2 : 10;
      const same = step && kept.length && Math.floor(p.t / step) === Math.floor(kept.at(-1).t / step);
      if (age > DAY || same) { this.keys.delete(p.key); return; }
      p.joined = joined || undefined; // by the time between them: a backlog may fill it
      kept.push(p);
      joined = true;
    });
    this.track = kept;
    this.room = kept.length + FRESH;
    this.changed++;
  }

  // correct moves the last fix into the past: by the server it is `age`
  // seconds old, and nothing arrived since the server was asked.
  correct(age, askedAt, now = performance.now()) {
    if (!this.fix || this.heardAt > askedAt) return;
    const was = now - age * 1000;
    if (was >= this.heardAt - 300 && !this.slept) return; // within the time an answer takes
    this.heardAt = was;
    this.slept = false;
  }

  // sleep adds what this browser's own count of time has left out, in ms. The
  // server may know better.
  sleep(ms) {
    this.heardAt -= ms;
    this.skyAt -= ms;
    this.slept = true;
  }

  // mixed reports that two senders alternate in the group, each with its own run.
  mixed(now = performance.now()) { return now - this.mixedAt < MIXED * 1000; }

  // age is seconds since the last TPV, with a position or without.
  age(now = performance.now()) {
    return this.fix ? Math.max(0, now - this.heardAt) / 1000 : NaN;
  }

  // positionAge is seconds since the last TPV with a position.
  positionAge(now = performance.now()) {
    return this.position ? this.age(now) + Math.max(0, this.fixTime - this.positionTime) : NaN;
  }

  // skyAge is seconds since the satellites were reported: what a server kept of
  // them came now, and may be older than the fix by its own time.
  skyAge(now = performance.now()) {
    if (!this.sky) return NaN;
    const behind = this.fixTime - Date.parse(this.sky.time) / 1000;
    return Math.max((now - this.skyAt) / 1000, isNumber(behind) ? behind + this.age(now) : 0);
  }

  // timeOf is the receiver's time in seconds. While it has none it is counted on
  // from the last one, or from this browser's if there was never any.
  timeOf(m, now) {
    const t = Date.parse(m.time) / 1000;
    if (isNumber(t)) return t;
    return this.fix ? this.fixTime + (now - this.heardAt) / 1000 : (performance.timeOrigin + now) / 1000;
  }

  // modeFor is seconds in the present mode; at least that if the change to it
  // was before the first message. It ends with the fixes: what the mode is now,
  // a silent receiver does not report.
  modeFor(now) {
    return this.fix ? this.fixTime - this.modeFrom + Math.min(this.age(now), this.staleAfter) : NaN;
  }

  // epoch is the usual interval between fixes in seconds.
  get epoch() {
    if (!this.steps.length) return 1;
    return [...this.steps].sort((a, b) => a - b)[this.steps.length >> 1];
  }

  // gap is the interval in seconds from which fixes are missing between two.
  get gap() { return Math.max(2.5, 3.5 * this.epoch); }

  get staleAfter() { return Math.max(STALE, STALE * this.epoch); }

  get used() { return this.fix?.uSat ?? this.sky?.uSat ?? this.sky?.satellites?.filter((s) => s.used).length; }

  get seen() { return this.fix?.nSat ?? this.sky?.nSat ?? this.sky?.satellites?.length; }
}

// keyOf identifies a message for good; one without (run, seq) by its content.
const keyOf = (m) => (m.run && m.seq ? `${m.run}:${m.seq}` : `${m.time}:${m.lat}:${m.lon}:${m.mode}`);

function isNewer(m, t, last, lastTime) {
  if (m.run && m.run === last.run && m.seq && last.seq) return m.seq > last.seq || last.seq - m.seq > FAR;
  return !m.backlog || (m.time !== undefined && t > lastTime);
}

export const hasPosition = (m) => isNumber(m.lat) && isNumber(m.lon) && Math.abs(m.lat) <= 90 && m.mode >= 2;

// pointOf is what is kept of a TPV. A fix without a position keeps its place in
// time: it is a gap in the trail and in the charts.
function pointOf(m, t, key) {
  const p = { t, key, run: m.run, seq: m.seq, speed: m.speed, altitude: m.altMSL ?? m.altHAE, hdop: m.hdop };
  return hasPosition(m) ? { ...p, lat: m.lat, lon: m.lon } : { ...p, speed: undefined, altitude: undefined };
}

// follows reports whether p goes on where the point before is, by the seconds
// between them unless that is known.
export const follows = (before, p, gap) => p.joined ?? p.t - before.t <= gap;

const STATUS = { 2: 'DGPS', 3: 'RTK', 4: 'RTK float', 5: 'DR', 6: 'DR', 7: 'survey', 8: 'SIM' };

// modeOf gives the word for the strip and whether there is a position.
export function modeOf(m) {
  if (!m || !(m.mode >= 2)) return { word: 'NO FIX', fix: false };
  const dimensions = m.mode === 2 ? '2D' : '3D';
  return { word: STATUS[m.status] ? `${STATUS[m.status]} ${dimensions}` : dimensions, fix: true };
}
