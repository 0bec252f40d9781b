package bridge

import (
	"errors"
	"io/fs"
	"log/slog"

	"gpsbridge/bridge/track"
	"gpsbridge/nmea"
)

// daySuffix ends the name of the file with a device ID's track of the last 24 hours, beside each directory of its spool. On the tmpfs
// it is written once a minute, for a daemon that is killed; on the disk when the daemon stops, since a connected tracker writes
// nothing to its card.
const daySuffix = ".track"

// openDay returns the track with what the newer of the files beside a spool's directories holds.
func openDay(dir, runtime string, log *slog.Logger) *track.Day {
	day := track.NewDay()
	for _, dir := range []string{dir, runtime} {
		if dir == "" {
			continue
		}
		if err := day.Load(dir + daySuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			log.Warn("the track of the last run is not shown", "err", err)
		}
	}
	return day
}

// saveDay writes the track beside a spool's directory, if there are both.
func saveDay(day *track.Day, dir string) error {
	if day == nil || dir == "" {
		return nil
	}
	return day.Save(dir + daySuffix)
}

// day returns the track of a device ID, nil where none is kept.
func (d *Daemon) day(id string) *track.Day {
	for _, dv := range d.devices {
		if dv.id == id {
			return dv.day
		}
	}
	return nil
}

// point is a fix as a track keeps it. It points into the fix.
func point(f *nmea.Fix) track.Point {
	return track.Point{
		Mode: int(f.Mode), Status: int(f.Status), Time: f.Time, Lat: f.Lat.Stated(), Lon: f.Lon.Stated(),
		AltMSL: f.AltMSL.Stated(), AltHAE: f.AltHAE.Stated(), Speed: f.Speed.Stated(),
		HDOP: f.HDOP.Stated(), VDOP: f.VDOP.Stated(), PDOP: f.PDOP.Stated(), USat: f.USat.Stated(),
	}
}
