// The big numbers, and what stands beside each.

import { NONE, fixed, isNumber, setText, wind } from './format.js';
import { speedUnit } from './units.js';
import { modeOf } from './model.js';
import { STANDING } from './mapdraw.js';

const few = (v) => (v < 9.95 ? 1 : 0);

export function showFix($, model) {
  const f = model.fix, p = model.position;
  setText($('mode'), modeOf(f).word);
  setText($('used'), isNumber(model.used) ? String(model.used) : NONE);
  setText($('seen'), isNumber(model.seen) ? String(model.seen) : NONE);
  setText($('time'), typeof f.time === 'string' && isNumber(Date.parse(f.time)) ? `${f.time.slice(11, 21).replace(/Z$/, '')} UTC\n${f.time.slice(0, 10)}` : 'not known yet');
  setText($('dop'), ['hdop', 'vdop', 'pdop'].some((k) => isNumber(f[k])) ? `DOP ${['hdop', 'vdop', 'pdop'].map((k) => `${k[0].toUpperCase()} ${fixed(f[k], 1)}`).join('  ')}` : 'DOP not reported');
  if (!p) return;
  showSpeed($, p);
  showCourse($, p);
  const altitude = p.altMSL ?? p.altHAE;
  setText($('altitude'), fixed(altitude, 0));
  setText($('altitude-more'), altitudeWords(p, altitude));
  setText($('accuracy'), fixed(p.eph, few(p.eph)));
}

export function showSpeed($, p) {
  const { name, factor } = speedUnit();
  setText($('unit'), name);
  $('unit').setAttribute('aria-label', `${name}, change the unit`);
  if (!p) return;
  setText($('speed'), fixed(p.speed * factor, few(p.speed * factor)));
  setText($('speed-more'), !isNumber(p.speed) ? 'not reported' : p.speed < STANDING ? 'standing' : name === 'm/s' ? `${fixed(p.speed * 3.6)} km/h` : `${fixed(p.speed, 1)} m/s`);
}

function showCourse($, p) {
  const standing = isNumber(p.speed) && p.speed < STANDING;
  setText($('heading'), isNumber(p.track) ? String(Math.round(p.track) % 360).padStart(3, '0') : NONE);
  setText($('heading-more'), standing ? 'standing: unsure' : isNumber(p.track) ? wind(p.track) : 'not reported');
  $('heading-box').classList.toggle('dim', standing || !isNumber(p.track));
  if (isNumber(p.track)) $('needle').setAttribute('transform', `rotate(${p.track} 20 20)`);
}

function altitudeWords(p, altitude) {
  const unsure = isNumber(p.epv) ? `± ${fixed(p.epv, few(p.epv))} m` : '';
  const climb = isNumber(p.climb) && Math.abs(p.climb) >= 0.05 ? `${p.climb > 0 ? '↑' : '↓'} ${fixed(Math.abs(p.climb), 1)} m/s` : '';
  const above = isNumber(p.altMSL) ? 'sea level' : isNumber(altitude) ? 'above ellipsoid' : 'not reported';
  return [unsure, climb || above].filter(Boolean).join(', ');
}
