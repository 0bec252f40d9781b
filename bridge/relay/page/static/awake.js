// Keeps the screen on while a vehicle is followed. Browsers allow it to pages of
// https and of this machine; elsewhere nothing happens.

export class Awake {
  constructor() {
    this.lock = null;
    this.asked = false; // once for as long as the page is in sight: a low battery refuses
    document.addEventListener('visibilitychange', () => { this.asked = false; this.lock = null; });
  }

  // want may be called as often as one likes.
  want(on) {
    if (!on) this.release();
    else if (!this.asked && !document.hidden) this.hold();
  }

  async hold() {
    this.asked = true;
    try {
      const lock = await navigator.wakeLock.request('screen');
      if (this.asked && !this.lock) this.lock = lock; else lock.release();
    } catch { /* not allowed here, or not now */ }
  }

  release() {
    this.asked = false;
    this.lock?.release();
    this.lock = null;
  }
}
