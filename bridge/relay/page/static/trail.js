// The trail as a map takes it: points of the track with a position, each with
// the state of its delivery, and marked where the way to it is not known.

import { follows } from './model.js';

const HOLE = 10; // seconds without a fix after which a straight line would be a guess

// Trail keeps a map's trail the same as the model's track, one point at a time
// where that is enough.
export class Trail {
  constructor(model, delivery) {
    Object.assign(this, { model, delivery });
    this.added = this.changed = -1;
  }

  // update gives map what is new. all starts it over: it is another map, or the
  // states have changed.
  update(map, all = false) {
    const { model } = this;
    const fresh = model.added - this.added;
    if (all || this.changed !== model.changed || this.added < 0 || fresh > 50) map.setTrail(this.points());
    else for (const p of fresh > 0 ? model.track.slice(-fresh) : []) this.next(p, (q) => map.addPoint(q));
    this.added = model.added;
    this.changed = model.changed;
  }

  points() {
    const list = [];
    this.last = undefined;
    for (const p of this.model.track) this.next(p, (q) => list.push(q));
    return list;
  }

  next(p, take) {
    if (p.lat === undefined) return;
    const hole = this.last !== undefined && !follows(this.last, p, Math.max(HOLE, 5 * this.model.epoch));
    this.last = p;
    take({ t: p.t, speed: p.speed, lat: p.lat, lon: p.lon, state: this.delivery.stateOf(p), hole });
  }
}
