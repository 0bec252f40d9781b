// Words and numbers as the page shows them. An absent quantity is a dash, never 0.

export const NONE = '–';

export const isNumber = (v) => typeof v === 'number' && Number.isFinite(v);

// fixed writes v with a number of decimals, with a real minus sign.
export const fixed = (v, decimals = 0) => {
  if (!isNumber(v)) return NONE;
  const text = v.toFixed(decimals);
  return (Number(text) === 0 ? text.replace('-', '') : text).replace('-', '−');
};

// ageText counts in tenths up to 100 s, then in minutes and hours: the number
// that changes fastest is the one that shows that the page is alive.
export function ageText(seconds) {
  if (!isNumber(seconds)) return NONE;
  if (seconds < 100) return seconds.toFixed(1);
  return spanText(seconds);
}

// spanText is 0:42, 12:41 or 3:05:09; days beyond that.
export function spanText(seconds) {
  if (!isNumber(seconds)) return NONE;
  const s = Math.max(0, Math.floor(seconds));
  const two = (n) => String(n).padStart(2, '0');
  if (s < 3600) return `${Math.floor(s / 60)}:${two(s % 60)}`;
  if (s < 86400) return `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
  return `${Math.floor(s / 86400)} d ${Math.floor(s / 3600) % 24} h`;
}

// problemText is a problem of the status in one line: cause and fix.
export const problemText = (p) => (p ? [p.cause, p.fix].filter(Boolean).join(': ') : '');

// roughSpan is for details: 0.4 s, 12 s, 3 min, 5 h, 2 d.
export function roughSpan(seconds) {
  if (!isNumber(seconds)) return NONE;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

// clock is a time in seconds as the time of day.
export const clock = (t) => `${new Date(t * 1000).toISOString().slice(11, 19)} UTC`;

// metres keeps what a reader can use: 4.2 m, 42 m, 1.3 km, 42 km.
export function metres(v) {
  if (!isNumber(v)) return NONE;
  if (Math.abs(v) >= 1000) return `${fixed(v / 1000, Math.abs(v) < 10000 && v % 1000 ? 1 : 0)} km`;
  return `${fixed(v, Math.abs(v) < 10 && v % 1 ? 1 : 0)} m`;
}

export function count(n) {
  return isNumber(n) ? n.toLocaleString('en').replaceAll(',', '\u202f') : NONE;
}

export function bytes(n) {
  if (!isNumber(n)) return NONE;
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let i = 0;
  while (n >= 1000 && i < units.length - 1) { n /= 1000; i++; }
  return `${n.toFixed(i && n < 10 ? 1 : 0)} ${units[i]}`;
}

const WINDS = ['north', 'north-east', 'east', 'south-east', 'south', 'south-west', 'west', 'north-west'];

// wind names a direction in degrees.
export const wind = (degrees) => WINDS[Math.round((((degrees % 360) + 360) % 360) / 45) % 8];

export function coordinate(v, positive, negative) {
  return isNumber(v) ? `${Math.abs(v).toFixed(6)}° ${v < 0 ? negative : positive}` : NONE;
}

// sexagesimal is a coordinate in degrees, minutes and seconds: a hundredth of a
// second is 31 cm.
export function sexagesimal(v, positive, negative, [minute, second, gap] = ['′', '″', ' ']) {
  if (!isNumber(v)) return NONE;
  const hundredths = Math.round(Math.abs(v) * 360_000), seconds = hundredths % 6000 / 100;
  const two = (n) => String(n).padStart(2, '0');
  return `${Math.floor(hundredths / 360_000)}°${gap}${two(Math.floor(hundredths / 6000) % 60)}${minute}${gap}${seconds.toFixed(2).padStart(5, '0')}${second}${gap}${v < 0 ? negative : positive}`;
}

// setText touches the document only when something changed.
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// element makes an HTML element with properties and children.
export function element(tag, properties = {}, ...children) {
  const e = document.createElement(tag);
  for (const [k, v] of Object.entries(properties)) {
    if (k in e) e[k] = v; else e.setAttribute(k, v);
  }
  e.append(...children);
  return e;
}

// svg makes an SVG element with attributes and children.
export function svg(tag, attributes = {}, ...children) {
  const e = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [k, v] of Object.entries(attributes)) e.setAttribute(k, v);
  e.append(...children);
  return e;
}
