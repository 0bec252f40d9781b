// The generated map: the page's own, with a base map under it. Trail, vehicle,
// scale, pointer and everything else are the page's; what is added is the ground.

import { MapView as OwnMap } from '/static/map.js';
import { BaseMap } from './basemap.js';
import { MercatorFrame } from './mercator.js';

export class MapView extends OwnMap {
  constructor(container, on = {}) {
    super(container, on);
    try {
      Object.assign(this.canvas.style, { position: 'absolute', inset: 0 });
      this.base = new BaseMap(container, () => this.dirty());
      this.setTheme();
    } catch (e) {
      this.destroy();
      throw e;
    }
    if (on.basemap) this.open(on);
  }

  async open(on) {
    try {
      const credit = await this.base.open(on.basemap, on.token);
      if (!this.ended.signal.aborted) on.credit?.(credit);
    } catch (e) {
      if (!this.ended.signal.aborted) on.credit?.(`base map not shown: ${e.message}`);
    }
  }

  plane(place) { return new MercatorFrame(place); }

  // ground shows the base map through the canvas, and wants the grid where there
  // is none.
  ground() {
    if (!this.frame) return super.ground();
    // The base map has its centre in the middle, this one at the anchor.
    const [east, north] = this.turned(0, this.height / 2 - this.anchor());
    const centre = this.frame.mercator([this.centre[0] + east / this.k, this.centre[1] + north / this.k]);
    const resolution = 1 / (this.k * this.frame.shrink);
    try {
      if (!this.base.show(centre, resolution, this.bearing)) return super.ground();
    } catch {
      // Not from inside of a drawing that goes on.
      queueMicrotask(() => this.ended.signal.aborted || this.on.failed?.());
      return super.ground();
    }
    this.context.clearRect(0, 0, this.width, this.height);
    return !this.base.covers(centre, resolution);
  }

  resize() {
    this.base?.resize();
    super.resize();
  }

  setTheme() {
    super.setTheme();
    const dark = matchMedia('(prefers-color-scheme: dark)').matches;
    this.base?.setTheme(dark, this.colours.sans, this.colours.map);
  }

  destroy() {
    super.destroy();
    this.on.credit?.('');
    this.base?.destroy();
  }
}
