package realtest

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Basemap writes a small PMTiles archive of an invented town round a place, in degrees, and returns its path. The town
// is 4 km wide, in the layers and kinds of the Protomaps basemap, zoom 10 to 15; it is gone when the test ends.
func Basemap(t testing.TB, lat, lon float64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "town.pmtiles")
	if err := os.WriteFile(path, townArchive(lat, lon), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const (
	townMinZoom, townMaxZoom = 10, 15

	townMetadata = `{"name":"town","attribution":"<a href=\"https://www.openstreetmap.org/copyright\">&copy; OpenStreetMap</a>",` +
		`"vector_layers":[{"id":"earth"},{"id":"landuse"},{"id":"water"},{"id":"buildings"},{"id":"roads"},{"id":"places"},{"id":"sensors"}]}`
)

// townArchive is the archive as bytes.
func townArchive(lat, lon float64) []byte {
	features := town(lat, lon)
	lo, hi := features.bounds()
	var tiles []archiveTile
	for z := townMinZoom; z <= townMaxZoom; z++ {
		n := math.Exp2(float64(z))
		for x := int(lo.x * n); x <= int(hi.x*n); x++ {
			for y := int(lo.y * n); y <= int(hi.y*n); y++ {
				if data := features.tile(z, x, y); data != nil {
					tiles = append(tiles, archiveTile{tileID(z, x, y), squeeze(data)})
				}
			}
		}
	}
	slices.SortFunc(tiles, func(a, b archiveTile) int { return cmp.Compare(a.id, b.id) })
	return archive(tiles, lat, lon, lo, hi)
}

// archiveTile is a compressed tile and its place on the Hilbert curve through all zooms.
type archiveTile struct {
	id   uint64
	data []byte
}

// archive joins header, root directory, metadata and tiles, as version 3 of the PMTiles specification lays them.
func archive(tiles []archiveTile, lat, lon float64, lo, hi point) []byte {
	directory, metadata := squeeze(directoryOf(tiles)), squeeze([]byte(townMetadata))
	var data []byte
	for _, t := range tiles {
		data = append(data, t.data...)
	}
	const header = 127
	at := uint64(header)
	h := append([]byte("PMTiles"), 3)
	section := func(length int) {
		h = binary.LittleEndian.AppendUint64(h, at)
		h = binary.LittleEndian.AppendUint64(h, uint64(length))
		at += uint64(length)
	}
	section(len(directory))
	section(len(metadata))
	section(0) // leaf directories: all entries fit into the root
	section(len(data))
	for range 3 { // addressed tiles, entries, contents: all different
		h = binary.LittleEndian.AppendUint64(h, uint64(len(tiles)))
	}
	const clustered, gzipped, mvt = 1, 2, 1
	h = append(h, clustered, gzipped, gzipped, mvt, townMinZoom, townMaxZoom)
	degrees := func(lat, lon float64) {
		h = binary.LittleEndian.AppendUint32(h, uint32(int32(math.Round(lon*1e7))))
		h = binary.LittleEndian.AppendUint32(h, uint32(int32(math.Round(lat*1e7))))
	}
	degrees(hi.latitude(), lo.longitude()) // y grows to the south
	degrees(lo.latitude(), hi.longitude())
	h = append(h, 14) // zoom of the centre
	degrees(lat, lon)
	return slices.Concat(h, directory, metadata, data)
}

// directoryOf lists the tiles column by column: how far each is from the one before, how many it stands for, how long
// it is, and where it lies (0: right behind the one before).
func directoryOf(tiles []archiveTile) []byte {
	d := binary.AppendUvarint(nil, uint64(len(tiles)))
	last := uint64(0)
	for _, t := range tiles {
		d = binary.AppendUvarint(d, t.id-last)
		last = t.id
	}
	for range tiles {
		d = binary.AppendUvarint(d, 1)
	}
	for _, t := range tiles {
		d = binary.AppendUvarint(d, uint64(len(t.data)))
	}
	for i := range tiles {
		d = binary.AppendUvarint(d, uint64(1-min(i, 1))) // the first is at 0, written as 1
	}
	return d
}

// tileID counts along the Hilbert curve of a zoom, behind all tiles of the zooms before.
func tileID(z, x, y int) uint64 {
	id := (uint64(1)<<(2*z) - 1) / 3
	for s := 1 << z / 2; s > 0; s /= 2 {
		rx, ry := 0, 0
		if x&s > 0 {
			rx = 1
		}
		if y&s > 0 {
			ry = 1
		}
		id += uint64(s) * uint64(s) * uint64((3*rx)^ry)
		if ry == 0 { // the curve is turned in this quarter
			if rx == 1 {
				x, y = s-1-x, s-1-y
			}
			x, y = y, x
		}
	}
	return id
}

// squeeze compresses with gzip, which cannot fail in memory.
func squeeze(data []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(data)
	w.Close()
	return b.Bytes()
}
