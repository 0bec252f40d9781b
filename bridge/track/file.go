package track

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"gpsbridge/bridge/directory"
)

// A file of a Day is this line, its points, and a CRC32C (Castagnoli, little-endian) of both.
const fileHead = "gpsbridge track 1\n"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errDamaged is of a file that is not what Save wrote.
var errDamaged = errors.New("the file is damaged")

// Save writes the track into a file, which is the old or the new one after a power cut. It writes nothing where nothing was added
// since the last Load.
func (d *Day) Save(path string) error {
	d.mu.Lock()
	fresh := d.fresh
	d.mu.Unlock()
	if !fresh {
		return nil
	}
	dir, err := directory.Make(filepath.Dir(path))
	if err == nil {
		err = errors.Join(dir.Close(), directory.ReplaceWith(path, 0o600, d.write))
	}
	if err != nil {
		return fmt.Errorf("save the track: %w", err)
	}
	return nil
}

// write writes what is in a file, a page at a time.
func (d *Day) write(to io.Writer) error {
	sum := crc32.New(castagnoli)
	all := io.MultiWriter(to, sum)
	_, err := io.WriteString(all, fileHead)
	var text []byte
	for page := range d.pages(math.MinInt64, math.MaxInt64) {
		text = text[:0]
		for _, k := range page {
			text = append(text, k[:]...)
		}
		if err == nil {
			_, err = all.Write(text)
		}
	}
	if err == nil {
		_, err = to.Write(binary.LittleEndian.AppendUint32(nil, sum.Sum32()))
	}
	return err
}

// Load takes the track from a file if that is newer. Fixes that are added then go on with it. An error leaves it as it was; that of
// a missing file is fs.ErrNotExist.
func (d *Day) Load(path string) error {
	text, err := read(path)
	if err != nil {
		return fmt.Errorf("read the track in %q: %w", path, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(text) == 0 || len(d.points) > 0 && d.points[len(d.points)-1].time() >= newestIn(text) {
		return nil
	}
	d.points = d.points[:0]
	for k := range slices.Chunk(text, packedSize) {
		d.points = append(d.points, packed(k))
	}
	slices.SortFunc(d.points, func(a, b packed) int { return cmp.Compare(a.time(), b.time()) }) // they are, unless another program wrote them
	d.room, d.fresh, d.way = len(d.points)+thinEvery, false, way{}
	last := d.points[len(d.points)-1].point()
	d.way.to(&last)
	d.way.usual = time.Second // so that leastGap decides whether the fix that comes next goes on with it
	return nil
}

// newestIn is the time of the last of packed points.
func newestIn(text []byte) int64 {
	k := packed(text[len(text)-packedSize:])
	return k.time()
}

// read returns the points of a file as they are packed.
func read(path string) ([]byte, error) {
	dir, err := directory.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	f, err := dir.OpenFile(filepath.Base(path), os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	points := info.Size() - int64(len(fileHead)) - crc32.Size
	if points < 0 || points > packedSize*mostPoints || points%packedSize != 0 {
		return nil, errDamaged
	}
	text := make([]byte, info.Size())
	if _, err := io.ReadFull(f, text); err != nil {
		return nil, err
	}
	text, sum := text[:len(text)-crc32.Size], binary.LittleEndian.Uint32(text[len(text)-crc32.Size:])
	if !bytes.HasPrefix(text, []byte(fileHead)) || crc32.Checksum(text, castagnoli) != sum {
		return nil, errDamaged
	}
	return text[len(fileHead):], nil
}
