// Metres on the ground around a place, and degrees back from them.

const WGS84_A = 6378137, WGS84_E2 = 0.00669437999014;

// LocalFrame is a plane that touches the ellipsoid at its origin. Over the tens
// of kilometres of a trail its error stays below a pixel.
export class LocalFrame {
  constructor({ lat, lon }) {
    const s = Math.sin(lat * Math.PI / 180), w = Math.sqrt(1 - WGS84_E2 * s * s);
    this.lat = lat;
    this.lon = lon;
    this.perLat = Math.PI / 180 * WGS84_A * (1 - WGS84_E2) / (w * w * w); // metres a degree
    this.perLon = Math.PI / 180 * WGS84_A / w * Math.cos(lat * Math.PI / 180);
  }

  // project gives metres east and north of the origin, the short way around.
  project({ lat, lon }) {
    const east = ((lon - this.lon + 540) % 360 + 360) % 360 - 180;
    return [east * this.perLon, (lat - this.lat) * this.perLat];
  }
}
