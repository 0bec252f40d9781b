// The track of 24 hours that the daemon keeps, as points of the model.

import { authorization } from './token.js';

// dayOf fetches the points from a time in seconds on, or all; null where that fails.
export async function dayOf(device, token, from) {
  const query = from === undefined ? '' : `?from=${new Date(from * 1000).toISOString()}`;
  try {
    const answer = await fetch(`/api/v1/devices/${device}/track.geojson${query}`, { headers: authorization(token) });
    return answer.ok ? pointsOf(await answer.json()) : null;
  } catch { return null; }
}

// pointsOf gives the positions of GeoJSON. A part of it begins where the way from
// the point before is not known, or with that point where it goes on.
function pointsOf({ features }) {
  const points = [];
  for (const { properties: p, geometry } of features) {
    const places = geometry.type === 'Point' ? [geometry.coordinates] : geometry.coordinates;
    places.forEach(([lon, lat, height], i) => {
      const t = Date.parse(p.coordTimes[i]) / 1000;
      if (t === points.at(-1)?.t) return;
      const value = (name) => p[name]?.[i] ?? undefined;
      points.push({ t, lat, lon, speed: value('speed'), altitude: value('altMSL') ?? height, hdop: value('hdop'), joined: i > 0 });
    });
  }
  return points;
}
