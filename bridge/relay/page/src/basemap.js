// The ground under the trail, drawn by OpenLayers: tiles of the base map, and
// the outlines of countries for the smallest scales. It has no controls and takes
// no input: the page's map decides what is shown.

import OLMap from 'ol/Map.js';
import View from 'ol/View.js';
import TopoJSON from 'ol/format/TopoJSON.js';
import { containsCoordinate } from 'ol/extent.js';
import VectorLayer from 'ol/layer/Vector.js';
import VectorTileLayer from 'ol/layer/VectorTile.js';
import VectorSource from 'ol/source/Vector.js';
import { openArchive } from './archive.js';
import { outlineStyle, sea, styleFor } from './style.js';

const FAR = 1200;                                // Mercator metres a pixel, zoom 7: from there outlines show more than a grid
const OUTLINES = '/dist/countries-50m.json';     // Natural Earth at 1:50 million
const zoomed = (zoom) => 40075016.7 / 256 / 2 ** zoom; // Mercator metres a pixel

export class BaseMap {
  constructor(container, changed) {
    this.changed = changed;
    this.element = document.createElement('div');
    Object.assign(this.element.style, { position: 'absolute', inset: 0, isolation: 'isolate' });
    container.prepend(this.element);
    this.view = new View({ center: [0, 0], resolution: 1, constrainRotation: false, multiWorld: true, smoothResolutionConstraint: false, maxResolution: zoomed(-3), minResolution: zoomed(25) });
    this.map = new OLMap({ target: this.element, view: this.view, controls: [], interactions: [] });
  }

  // open shows the archive at address and resolves to the words of its credit.
  async open(address, token) {
    const { source, minZoom, extent, credit } = await openArchive(address, token);
    if (this.ended) return '';
    // Seen from further than its first zoom an archive would be asked for everything that it has.
    this.tiles = new VectorTileLayer({ source, extent, declutter: true, renderBuffer: 64, maxResolution: minZoom ? zoomed(minZoom - 1) : undefined });
    this.map.addLayer(this.tiles);
    this.paint();
    this.changed();
    return credit;
  }

  // setTheme takes the page's font and background with it.
  setTheme(dark, font, background) {
    Object.assign(this, { dark, font });
    this.element.style.background = background;
    this.paint();
  }

  paint() {
    this.tiles?.setStyle(styleFor(this.dark, this.font));
    this.outlines?.setStyle(outlineStyle(this.dark));
    this.outlines?.setBackground(sea(this.dark));
  }

  resize() { this.map.updateSize(); }

  // show draws what there is: centre and resolution in Mercator metres, bearing in
  // degrees. It is false while there is nothing.
  show(centre, resolution, bearing) {
    if (resolution > FAR) this.loadOutlines();
    if (!this.tiles && !(this.outlines && resolution > FAR)) return false;
    this.view.setCenter(centre);
    this.view.setResolution(resolution);
    this.view.setRotation(-bearing * Math.PI / 180);
    this.map.renderSync();
    return true;
  }

  // covers reports whether there is a map at a place, as far as it can be known.
  covers(centre, resolution) {
    if (this.outlines && resolution > FAR) return true;
    return !!this.tiles && resolution < this.tiles.getMaxResolution() && containsCoordinate(this.tiles.getExtent(), centre);
  }

  // loadOutlines asks for them once: they are as large as the rest of the page.
  async loadOutlines() {
    if (this.asked) return;
    this.asked = true;
    const answer = await fetch(OUTLINES).catch(() => null);
    if (!answer?.ok || this.ended) return;
    const features = new TopoJSON({ layers: ['countries'] }).readFeatures(await answer.text(), { featureProjection: 'EPSG:3857' });
    this.outlines = new VectorLayer({ source: new VectorSource({ features }), minResolution: FAR, zIndex: -1 });
    this.map.addLayer(this.outlines);
    this.paint();
    this.changed();
  }

  destroy() {
    this.ended = true;
    this.map.setTarget(null);
    this.map.dispose();
    this.element.remove();
  }
}
