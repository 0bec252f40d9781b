// How a base map looks: quiet, because the trail on it is what is looked at. The
// names are those of the Protomaps basemap (https://docs.protomaps.com/basemaps/layers),
// and of OpenMapTiles where they differ. What neither knows is drawn as well, in
// thin grey: a strange map is better than an empty one.

import Circle from 'ol/style/Circle.js';
import Fill from 'ol/style/Fill.js';
import Stroke from 'ol/style/Stroke.js';
import Style from 'ol/style/Style.js';
import Text from 'ol/style/Text.js';

const LIGHT = {
  earth: '#f3f4ef', green: '#dcebd3', sand: '#efe9d6', built: '#ecece6', water: '#bcd9e6', building: '#e2e1d9', edge: '#cdccc2',
  road: '#ffffff', casing: '#cfd3cb', main: '#fdecc0', maincasing: '#dcc586', rail: '#b4b8b3', path: '#c4b9a6', border: '#a294ac', ink: '#39444a', halo: '#fbfcfaf0', wet: '#3f7690',
};
const DARK = {
  earth: '#12191d', green: '#15241d', sand: '#1f1f19', built: '#171e23', water: '#0e2a3a', building: '#1f292f', edge: '#2e3a41',
  road: '#4b5960', casing: '#1a2328', main: '#7d7351', maincasing: '#23241f', rail: '#4d5a61', path: '#5a564a', border: '#5b5166', ink: '#b9c5c8', halo: '#0d1316e0', wet: '#6fa6c0',
};

const LAYERS = {
  transportation: 'roads', transportation_name: 'roads', aeroway: 'roads', building: 'buildings', park: 'landuse', natural: 'landuse',
  waterway: 'water', water_name: 'water', place: 'places', boundary: 'boundaries', poi: 'pois', housenumber: 'pois',
};
// How wide a road is drawn, 4 to 1; 0 is dashed. A kind that is not here is a 1.
const ROADS = {
  highway: 4, motorway: 4, trunk: 4, major_road: 3, primary: 3, secondary: 3, medium_road: 2, tertiary: 2, minor_road: 1, minor: 1,
  path: 0, footway: 0, track: 0, steps: 0, ferry: 0, rail: -1, transit: -1,
};
const GREEN = /park|wood|forest|grass|garden|nature|meadow|scrub|cemetery|golf|pitch|playground|recreation|orchard|protected|village_green|allotments|zoo/;
const SAND = /beach|sand|barren|desert|rock|quarry/;
const PLACES = { country: 17, region: 14, state: 14, city: 16, locality: 14, town: 14, village: 12.5 };

const palette = (dark) => (dark ? DARK : LIGHT);

// outlineStyle is for countries where there are no tiles, sea for what is between them.
export const outlineStyle = (dark) => new Style({ fill: new Fill({ color: palette(dark).earth }), stroke: new Stroke({ color: palette(dark).border, width: 0.8 }) });
export const sea = (dark) => palette(dark).water;

// styleFor makes a style function. font is the page's.
export function styleFor(dark, font) {
  const c = palette(dark), made = new Map();
  // Thousands of features share a few dozen styles.
  const once = (key, make) => made.get(key) ?? made.set(key, make()).get(key);
  const fill = (color, zIndex, edge) => once(`f${color}${zIndex}`, () => new Style({ zIndex, fill: new Fill({ color }), stroke: edge && new Stroke({ color: edge, width: 0.6 }) }));
  const line = (color, width, zIndex, lineDash) => once(`l${color}${width}${zIndex}`, () => new Style({ zIndex, stroke: new Stroke({ color, width, lineDash, lineCap: lineDash ? 'butt' : 'round', lineJoin: 'round' }) }));
  const label = (text, size, zIndex, more = {}) => text && new Style({ zIndex, text: new Text({
    text: String(text), font: `${size}px ${font}`, fill: new Fill({ color: c.ink }), stroke: new Stroke({ color: c.halo, width: 3 }), ...more }) });
  const along = (text, zIndex) => label(text, 11, zIndex, { placement: 'line', maxAngle: 0.5, repeat: 400 });

  const area = { earth: () => fill(c.earth, 0), water: () => fill(c.water, 3), buildings: (_, z) => z > 13 && fill(c.building, 5, c.edge),
    landcover: (kind) => ground(kind, 1), landuse: (kind) => ground(kind, 2), roads: () => fill(c.road, 6), boundaries: () => null };
  function ground(kind, zIndex) { return fill(GREEN.test(kind) ? c.green : SAND.test(kind) ? c.sand : kind === 'water' ? c.water : c.built, zIndex); }

  function road(kind, detail, name, z, tunnel) {
    const rank = Math.min(ROADS[kind] ?? 1, ROADS[detail] ?? 4);
    const text = z > (rank > 2 ? 12 : 14.5) && along(name, 60 + rank);
    if (rank < 0) return [z > 11 && line(c.rail, 1, 11), text];
    if (rank === 0) return [z > 14 && line(c.path, 1, 10, [3, 2]), text];
    // A street is about 8 m wide, and never thinner than can be seen. In halves, for the sake of once.
    const width = Math.round(2 * Math.max(0.5 * rank, 1.4 * rank ** 0.7 * 2 ** ((z - 14) * 0.8))) / 2;
    if (width < 1 && rank < 3 && z < 12) return [];
    const main = rank > 2, shown = tunnel ? c.casing : main ? c.main : c.road;
    return [line(main ? c.maincasing : c.casing, width + 1.6, 12 + rank), line(shown, width, 20 + rank), text];
  }

  function point(layer, kind, detail, name, z) {
    if (layer === 'pois' || layer === 'roads' || layer === 'buildings') return [];
    const place = PLACES[detail] ?? PLACES[kind];
    if (layer === 'places') return [(place ?? z > 12) && label(name, place ?? 11.5, 90 + (place ?? 0))];
    if (layer === 'water') return [label(name, 12, 70, { fill: new Fill({ color: c.wet }) })];
    if (layer === 'earth' || layer === 'landuse') return [z > 13 && label(name, 11, 65)];
    return [once('dot', () => new Style({ zIndex: 40, image: new Circle({ radius: 2, fill: new Fill({ color: c.rail }) }) })), label(name, 11, 50, { offsetY: 10 })];
  }

  return (feature, resolution) => {
    const named = feature.get('layer'), layer = LAYERS[named] ?? named, type = feature.getType();
    const kind = feature.get('kind') ?? feature.get('pmap:kind') ?? feature.get('class') ?? '';
    const detail = feature.get('kind_detail') ?? feature.get('pmap:kind_detail') ?? feature.get('subclass');
    const name = feature.get(`name:${navigator.language?.slice(0, 2)}`) ?? feature.get('name');
    const z = Math.log2(40075016.7 / 256 / resolution);
    if (type.endsWith('Point')) return point(layer, kind, detail, name, z).filter(Boolean);
    if (type.endsWith('Polygon')) return area[layer] ? area[layer](kind, z) || [] : line(c.edge, 1, 8);
    if (named.endsWith('_name')) return along(name, 61) || [];
    if (layer === 'roads') return road(kind, detail, name, z, feature.get('is_tunnel') || feature.get('brunnel') === 'tunnel').filter(Boolean);
    if (layer === 'water') return line(c.water, Math.max(1, 2 ** ((z - 13) * 0.7)), 4);
    if (layer === 'boundaries') return line(c.border, kind === 'country' ? 1.5 : 0.8, 30, [4, 3]);
    return [line(c.edge, 1, 9), along(name, 50)].filter(Boolean);
  };
}
