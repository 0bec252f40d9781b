// How the page's own map is drawn. v is a MapView.

import { isNumber, metres } from './format.js';

export const STANDING = 0.55; // m/s, 2 km/h: below it a course is noise

const NAMES = ['map', 'grid', 'grid-major', 'ring', 'muted', 'ink', 'trail', 'kept', 'accent', 'sans'];

// readColours takes the colours out of the style sheet once a theme.
export function readColours(element) {
  const style = getComputedStyle(element);
  return Object.fromEntries(NAMES.map((n) => [n, style.getPropertyValue(`--${n}`).trim()]));
}

// step is the nearest 1, 2 or 5 times a power of ten that is at least x.
export function step(x) {
  const p = 10 ** Math.floor(Math.log10(x));
  return [1, 2, 5, 10].find((n) => n * p >= x * 0.999) * p;
}

// rgb takes a colour as the style sheet writes it, #rrggbb, apart.
const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));

// mixed, not transparent: where two parts of a line meet transparency would show.
const mixed = (near, far, k) => `rgb(${near.map((x, i) => Math.round(x * k + far[i] * (1 - k))).join()})`;

export function draw(v) {
  const c = v.context;
  v.sine = Math.sin(v.bearing * Math.PI / 180);
  v.cosine = Math.cos(v.bearing * Math.PI / 180);
  const grid = step(72 / v.k);
  // Streets show where a place is and how far; over them grid and rings would only be in the way.
  if (v.ground()) {
    drawGrid(v, c, grid);
    if (v.vehicle) drawRings(v, c);
  }
  if (v.fleet) drawFleet(v, c);
  else drawTrail(v, c);
  if (v.vehicle) drawVehicle(v, c);
  if (v.marked) drawMark(v, c);
  drawScale(v, c, grid);
}

// drawGrid draws lines of whole multiples of grid metres, each fifth stronger.
function drawGrid(v, c, grid) {
  // Whatever the map is turned to, a circle around it covers the screen.
  const reach = Math.hypot(v.width, v.height * 1.4) / 2 / v.k;
  for (const major of [false, true]) {
    c.beginPath();
    for (const axis of [0, 1]) {
      const from = v.centre[axis] - reach, to = v.centre[axis] + reach, other = v.centre[1 - axis];
      for (let i = Math.ceil(from / grid); i * grid <= to; i++) {
        if ((i % 5 === 0) !== major) continue;
        for (const end of [other - reach, other + reach]) {
          const [x, y] = v.screen(axis ? [end, i * grid] : [i * grid, end]);
          // North up, a line is one row of pixels and not two pale ones.
          const at = v.bearing ? [x, y] : [Math.round(x) + 0.5, Math.round(y) + 0.5];
          if (end < other) c.moveTo(...at); else c.lineTo(...at);
        }
      }
    }
    c.strokeStyle = v.colours[major ? 'grid-major' : 'grid'];
    c.lineWidth = 1;
    c.stroke();
  }
}

function drawRings(v, c) {
  const [x, y] = v.screen(v.vehicle);
  const ring = step(Math.min(v.width, v.height) * 0.16 / v.k);
  c.strokeStyle = v.colours.ring;
  c.fillStyle = v.colours.muted;
  c.font = '11px ' + v.colours.sans;
  c.textAlign = 'center';
  for (let i = 1; i <= 3; i++) {
    const r = i * ring * v.k;
    c.setLineDash([2, 4]);
    c.beginPath();
    c.arc(x, y, r, 0, 2 * Math.PI);
    c.stroke();
    const [tx, ty] = [x - r * Math.SQRT1_2, y + r * Math.SQRT1_2 + 4];
    if (tx > 190 || ty < v.height - 70) text(v, c, metres(i * ring), tx, ty); // not on scale and legend
  }
  c.setLineDash([]);
}

// text writes on the map so that no line crosses the letters.
function text(v, c, words, x, y) {
  c.save();
  c.setLineDash([]);
  c.strokeStyle = v.colours.map;
  c.lineWidth = 4;
  c.lineJoin = 'round';
  c.strokeText(words, x, y);
  c.restore();
  c.fillText(words, x, y);
}

// drawTrail fades the trail towards its beginning. What still waits to be sent
// is a hollow line in another colour, and never fades. Where fixes are missing
// the line is dotted: the way between is not known.
function drawTrail(v, c) {
  const points = v.points, n = points.length;
  if (n < 2) return;
  const near = rgb(v.colours[v.stale ? 'muted' : 'trail']), far = rgb(v.colours.map);
  const chunk = Math.max(8, Math.ceil(n / 40));
  const at = points.map((p) => v.screen(p.at));
  c.lineCap = c.lineJoin = 'round';
  for (let from = 0; from < n - 1;) {
    const kept = points[from + 1].state === 'kept';
    let to = from + 1;
    while (to < n - 1 && (kept || to - from < chunk) && (points[to + 1].state === 'kept') === kept) to++;
    const k = 0.22 + 0.78 * ((to / (n - 1)) ** 1.5);
    c.strokeStyle = kept ? v.colours.kept : mixed(near, far, k);
    drawPart(c, points, at, from, to, kept ? 5.5 : 3.5);
    if (kept) {
      c.strokeStyle = v.colours.map;
      drawPart(c, points, at, from, to, 1.8);
    }
    from = to;
  }
}

function drawPart(c, points, at, from, to, width) {
  const holes = [];
  let [x, y] = at[from];
  c.beginPath();
  c.moveTo(x, y);
  for (let i = from + 1; i <= to; i++) {
    const [px, py] = at[i];
    if (points[i].hole) {
      holes.push(i);
      c.lineTo(...at[i - 1]);
      c.moveTo(px, py);
    } else if (i < to && Math.abs(px - x) + Math.abs(py - y) < 1.5) continue; // not to be seen
    else c.lineTo(px, py);
    [x, y] = [px, py];
  }
  c.lineWidth = width;
  c.stroke();
  c.setLineDash([1, 7]);
  c.lineWidth = 2;
  for (const i of holes) {
    c.beginPath();
    c.moveTo(...at[i - 1]);
    c.lineTo(...at[i]);
    c.stroke();
  }
  c.setLineDash([]);
}

const NAMED = 300; // vehicles in sight whose names are given room: looking for it takes the square of it

// drawFleet draws all vehicles. Names distinguish them, and a silent one is
// hollow: no colour is needed.
function drawFleet(v, c) {
  const fleet = v.fleet.map((f) => ({ ...f, xy: v.screen(f.at) })).filter((f) => near(v, f.xy)).sort((a, b) => a.silent - b.silent);
  c.lineJoin = 'round';
  for (const { trail, xy, silent } of fleet) {
    c.strokeStyle = v.colours[silent ? 'muted' : 'trail'];
    c.lineWidth = 3;
    c.beginPath();
    c.moveTo(...xy);
    for (const p of trail.toReversed()) c.lineTo(...v.screen(p.at));
    c.stroke();
  }
  for (const f of fleet.toReversed()) drawMember(v, c, f);
  c.font = '600 12px ' + v.colours.sans;
  c.textAlign = 'left';
  const taken = fleet.map(({ xy: [x, y] }) => [x - 7, y - 7, x + 7, y + 7]);
  for (const { name, silent, xy: [x, y] } of fleet.slice(0, NAMED)) {
    const w = c.measureText(name).width, room = [x + 12, y - 7, x + 14 + w, y + 7];
    if (taken.some((t) => room[0] < t[2] && t[0] < room[2] && room[1] < t[3] && t[1] < room[3])) continue;
    taken.push(room);
    c.fillStyle = v.colours[silent ? 'muted' : 'ink'];
    text(v, c, name, x + 13, y + 4);
  }
}

const near = (v, [x, y]) => x > -50 && x < v.width + 50 && y > -50 && y < v.height + 50;

function drawMember(v, c, { xy, silent, speed, track }) {
  c.save();
  c.translate(...xy);
  c.lineWidth = 2;
  c.strokeStyle = v.colours[silent ? 'muted' : 'map'];
  c.fillStyle = v.colours[silent ? 'map' : 'accent'];
  c.beginPath();
  if (!silent && isNumber(track) && speed >= STANDING) {
    c.scale(0.7, 0.7);
    arrow(c, (track - v.bearing) * Math.PI / 180);
  } else c.arc(0, 0, 6, 0, 2 * Math.PI);
  c.stroke();
  c.fill();
  c.restore();
}

// drawMark rings a point, with its words on the side where there is room.
function drawMark(v, c) {
  const [x, y] = v.screen(v.marked.at), left = x > v.width / 2;
  c.strokeStyle = c.fillStyle = v.colours.ink;
  c.lineWidth = 2;
  c.beginPath();
  c.arc(x, y, 7, 0, 2 * Math.PI);
  c.stroke();
  c.font = '600 13px ' + v.colours.sans;
  c.textAlign = left ? 'right' : 'left';
  text(v, c, v.marked.words, x + (left ? -13 : 13), y - 10);
}

function drawVehicle(v, c) {
  const [x, y] = v.screen(v.vehicle);
  const colour = v.colours[v.stale ? 'muted' : 'accent'];
  const r = isNumber(v.fix.eph) ? v.fix.eph * v.k : 0;
  if (r > 3) {
    c.beginPath();
    c.arc(x, y, r, 0, 2 * Math.PI);
    c.fillStyle = c.strokeStyle = colour;
    c.globalAlpha = 0.12;
    c.fill();
    c.globalAlpha = 0.55;
    c.lineWidth = 1.2;
    c.stroke();
    c.globalAlpha = 1;
  }
  c.save();
  c.translate(x, y);
  c.fillStyle = colour;
  c.strokeStyle = v.colours.map;
  c.lineWidth = 2.5;
  c.lineJoin = 'round';
  c.beginPath();
  // Without a speed the course is noise: a dot claims no direction.
  if (v.moving) arrow(c, (v.fix.track - v.bearing) * Math.PI / 180);
  else c.arc(0, 0, 8, 0, 2 * Math.PI);
  c.stroke();
  c.fill();
  c.restore();
}

function arrow(c, angle) {
  c.rotate(angle);
  c.moveTo(0, -17);
  c.lineTo(11.5, 13);
  c.lineTo(0, 6.5);
  c.lineTo(-11.5, 13);
  c.closePath();
}

function drawScale(v, c, grid) {
  const w = grid * v.k, x = 16, y = v.height - 16;
  c.strokeStyle = c.fillStyle = v.colours.ink;
  c.lineWidth = 1.5;
  c.lineCap = 'butt';
  c.beginPath();
  c.moveTo(x, y - 5);
  c.lineTo(x, y);
  c.lineTo(x + w, y);
  c.lineTo(x + w, y - 5);
  c.stroke();
  c.font = '12px ' + v.colours.sans;
  c.textAlign = 'left';
  text(v, c, metres(grid), x + 1, y - 9);
}
