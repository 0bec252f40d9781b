// The unit of speed that this browser's user chose.

const UNITS = [
  { name: 'km/h', factor: 3.6 },
  { name: 'mph', factor: 3600 / 1609.344 },
  { name: 'kn', factor: 3600 / 1852 },
  { name: 'm/s', factor: 1 },
];
const KEY = 'gpsbridge.unit';

let at = 0;
try { at = Math.max(0, UNITS.findIndex((u) => u.name === localStorage.getItem(KEY))); } catch { /* storage is off */ }

// speedUnit has a name and the factor from m/s.
export const speedUnit = () => UNITS[at];

export function nextUnit() {
  at = (at + 1) % UNITS.length;
  try { localStorage.setItem(KEY, UNITS[at].name); } catch { /* for this page only, then */ }
}
