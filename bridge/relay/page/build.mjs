// Makes what the page can do without into dist/: the map with OpenLayers in it,
// the outlines of countries, and the notices that the licences of all that ask for.
// What is large is compressed: it is part of the program, and browsers take it so.

import { readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const directory = new URL('.', import.meta.url);
const at = (path) => new URL(path, directory);
const DATA = 'world-atlas'; // copied, not bundled

const { metafile, outputFiles: [map] } = await build({
  absWorkingDir: at('.').pathname,
  entryPoints: ['src/map.js'],
  outfile: 'dist/map.js',
  bundle: true,
  minify: true,
  format: 'esm',
  target: 'es2022',
  external: ['/static/*'], // the page's own map, as the program serves it
  banner: { js: '// OpenLayers, PMTiles and what they need: see NOTICES.txt beside this file.' },
  legalComments: 'none', // NOTICES.txt has them all
  metafile: true,
  write: false,
});
const large = {
  'map.js': map.contents,
  'countries-50m.json': await readFile(at(`node_modules/${DATA}/countries-50m.json`)),
};
for (const old of await readdir(at('dist'))) if (!old.startsWith('.')) await rm(at(`dist/${old}`));
for (const [name, contents] of Object.entries(large)) await write(`${name}.gz`, gzipSync(contents, { level: 9 }));
await write('NOTICES.txt', await notices(packagesIn(metafile).add(DATA)));

async function write(name, contents) {
  await writeFile(at(`dist/${name}`), contents);
  console.log(`dist/${name}: ${contents.length} bytes`);
}

// packagesIn names the packages of which something is in the bundle.
function packagesIn({ outputs }) {
  const used = Object.values(outputs).flatMap((o) => Object.entries(o.inputs)).filter(([, i]) => i.bytesInOutput > 0);
  return new Set(used.map(([path]) => path.match(/.*node_modules\/((?:@[^/]+\/)?[^/]+)/)?.[1]).filter(Boolean));
}

async function notices(names) {
  const packages = await Promise.all([...names].sort().map(describe));
  const parts = packages.map((p) => `${p.name} ${p.version} (${p.licence})\n${p.home}\n\n${p.text ?? termsOf(p, packages)}`);
  return ['What the files beside this one contain. The outlines of countries are made of Natural Earth, which is in the public domain.\n',
    ...parts].join(`\n${'-'.repeat(78)}\n`);
}

async function describe(name) {
  const path = `node_modules/${name}/`, about = JSON.parse(await readFile(at(path + 'package.json'), 'utf8'));
  const file = (await readdir(at(path))).find((f) => /^(licen[cs]e|copying)/i.test(f));
  const author = about.author?.name ?? about.author ?? 'its authors';
  return { name, version: about.version, licence: about.license, author, home: about.repository?.url ?? about.homepage ?? '',
    text: file && await readFile(at(path + file), 'utf8') };
}

// termsOf is for a package that names its licence and does not enclose it: the
// terms are the same as in another notice, whose words are here.
function termsOf(p, packages) {
  const same = packages.find((q) => q.text && q.licence === p.licence);
  if (!same) throw new Error(`${p.name} encloses no licence, and nothing else here is under ${p.licence}: its terms must be added`);
  return `Copyright (c) ${p.author}. All rights reserved.\nThe terms are those of ${p.licence} as printed under ${same.name}, with the holder named here in place of that one's.\n`;
}
