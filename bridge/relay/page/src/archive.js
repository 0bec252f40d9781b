// A .pmtiles archive as a source of vector tiles. Tiles are read with range
// requests, one for each, after a few for the directories.

import MVT from 'ol/format/MVT.js';
import VectorTileSource from 'ol/source/VectorTile.js';
import { createXYZ } from 'ol/tilegrid.js';
import { transformExtent } from 'ol/proj.js';
import { FetchSource, PMTiles, TileType } from 'pmtiles';

// openArchive resolves to what the archive holds and where. It rejects what is
// no archive, and one of pictures.
export async function openArchive(address, token) {
  const archive = new PMTiles(new FetchSource(address, new Headers(token ? { Authorization: `Bearer ${token}` } : {})));
  const header = await archive.getHeader();
  if (header.tileType !== TileType.Mvt) throw new Error('it holds no vector tiles (MVT)');
  const source = new VectorTileSource({
    format: new MVT(),
    tileGrid: createXYZ({ minZoom: header.minZoom, maxZoom: header.maxZoom, tileSize: 512 }),
    url: '{z}/{x}/{y}',
    tileLoadFunction: (tile, place) => tile.setLoader((extent, _, projection) => load(archive, tile, place, extent, projection)),
  });
  const metadata = await archive.getMetadata().catch(() => null); // a map without words is a map
  return { source, minZoom: header.minZoom, credit: creditOf(metadata),
    extent: transformExtent([header.minLon, header.minLat, header.maxLon, header.maxLat], 'EPSG:4326', 'EPSG:3857') };
}

async function load(archive, tile, place, extent, featureProjection) {
  try {
    const found = await archive.getZxy(...place.split('/').map(Number));
    tile.setFeatures(found ? tile.getFormat().readFeatures(found.data, { extent, featureProjection }) : []);
  } catch {
    tile.onError();
  }
}

// creditOf takes the words out of the archive's attribution, which is HTML.
function creditOf(metadata) {
  const html = typeof metadata?.attribution === 'string' ? metadata.attribution : '';
  const text = new DOMParser().parseFromString(html, 'text/html').body.textContent.trim().slice(0, 120);
  return text || '© OpenStreetMap';
}
