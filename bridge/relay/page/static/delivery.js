// Which fixes the server has, from the status: how many messages the
// daemon made in its run (`reported`), up to which of them the server has
// acknowledged all (`acked_seq`), and how many it has not (`behind`). What waits
// is one stretch of the run from the first of those on. While there is no
// connection it ends with the newest message. Once there is one, new messages go
// out at once (live first) and the stretch shrinks from its old end. With several
// servers the one with the most waiting counts: nothing is called
// acknowledged that might not be.

const LEAST = 8; // messages under way at any time are not called waiting

export class Delivery {
  constructor() {
    this.known = false; // there is a server at all, and its state is known
    this.run = '';
    this.from = 0;      // the first seq that waits
    this.to = 0;        // the last
    this.open = false;  // what is newer than `to` waits too
    this.earlier = false; // what is left of earlier runs waits too
    this.count = 0;
    this.drain = NaN;   // messages a second that leave, over the last polls
    this.past = [];
  }

  // update takes a status and reports whether any fix's state may have changed.
  update(status, device, now = performance.now()) {
    const before = this.key();
    const mine = (x) => (x.device_id ?? device) === device;
    const uplinks = (status?.uplinks ?? []).filter(mine);
    const receiver = (status?.receivers ?? []).find((r) => mine(r) && r.run && r.reported >= 0);
    this.known = uplinks.length > 0 && receiver !== undefined;
    if (this.known) {
      const worst = uplinks.reduce((a, b) => ((b.behind ?? 0) > (a.behind ?? 0) ? b : a));
      this.stretch(receiver, worst);
      this.measure(worst.behind ?? 0, now);
    } else Object.assign(this, { count: 0, open: false });
    return before !== this.key();
  }

  // key is the same while every fix's state is.
  key() { return this.count || this.open ? `${this.run} ${this.from} ${this.to} ${this.open}` : `${this.known}`; }

  stretch({ run, reported }, { state, behind = 0, order, window = 0, acked_seq: acked }) {
    const connected = state === 'connected';
    if (connected && behind <= Math.max(LEAST, window)) {
      Object.assign(this, { run, from: reported + 1, to: reported, open: false, count: 0, earlier: false });
      return;
    }
    // Under way a stretch keeps its end, from the first status with a connection.
    const kept = connected && !this.open && order !== 'oldest-first' && this.run === run && this.from <= this.to && this.to <= reported;
    let to = kept ? this.to : reported;
    if (connected && acked) to = Math.min(to, acked + behind); // so much is left of it, also for a page that was opened meanwhile
    const from = acked === undefined ? Math.max(1, to - behind + 1) : acked + 1;
    Object.assign(this, { run, to, from, open: !connected, count: behind, earlier: behind > to });
  }

  measure(behind, now) {
    this.past.push([now, behind]);
    while (this.past.length > 8) this.past.shift();
    const [t, was] = this.past[0];
    this.drain = now - t > 2000 ? (was - behind) / ((now - t) / 1000) : NaN;
  }

  // stateOf is none (no server, or a fix for viewers alone), sent or kept.
  stateOf({ run, seq }) {
    if (!this.known || !run || !seq) return 'none';
    if (run !== this.run) return this.earlier ? 'kept' : 'sent';
    return (seq >= this.from && seq <= this.to) || (this.open && seq > this.to) ? 'kept' : 'sent';
  }
}
