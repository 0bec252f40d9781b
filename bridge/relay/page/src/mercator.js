// The plane of a base map: spherical Mercator, in which its tiles are made.

export const RADIUS = 6378137;         // m; tiles take the earth for a sphere
const HIGHEST = 85.0511;               // degrees; where the square of the tiles ends
const rad = (degrees) => degrees * Math.PI / 180;
const northing = (lat) => RADIUS * Math.atanh(Math.sin(rad(Math.max(-HIGHEST, Math.min(HIGHEST, lat)))));

// MercatorFrame does what the page's LocalFrame does, so that the trail lies on
// the streets however far away: metres as they are at its origin.
export class MercatorFrame {
  constructor({ lat, lon }) {
    this.lon = lon;
    this.shrink = Math.cos(rad(Math.max(-HIGHEST, Math.min(HIGHEST, lat)))); // metres on the ground a Mercator metre
    this.x = RADIUS * rad(lon);
    this.y = northing(lat);
  }

  // project gives metres east and north of the origin, the short way around.
  project({ lat, lon }) {
    const east = ((lon - this.lon + 540) % 360 + 360) % 360 - 180;
    return [RADIUS * rad(east) * this.shrink, (northing(lat) - this.y) * this.shrink];
  }

  // mercator gives the coordinates in which the tiles are laid.
  mercator([east, north]) { return [this.x + east / this.shrink, this.y + north / this.shrink]; }
}
